package harness

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Link cuts a node of hack/cluster off from the network ("down"), or connects it again ("up").
func Link(node, state string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	said, err := exec.Command(filepath.Join(root, "hack", "cluster"), "link", node, state).CombinedOutput() //nolint:gosec // ours
	if err != nil {
		return fmt.Errorf("link of %s %s: %w: %s", node, state, err, said)
	}
	return nil
}
