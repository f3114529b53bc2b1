package harness

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Link cuts a node of hack/cluster off from the network ("down"), or connects it again ("up").
func Link(node, state string) error { return onCluster("link", node, state) }

// Delay holds back what a node of hack/cluster sends, for a time such as "50ms" or "none".
func Delay(node, time string) error { return onCluster("delay", node, time) }

func onCluster(args ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	said, err := exec.Command(filepath.Join(root, "hack", "cluster"), args...).CombinedOutput() //nolint:gosec // ours
	if err != nil {
		return fmt.Errorf("hack/cluster %v: %w: %s", args, err, said)
	}
	return nil
}
