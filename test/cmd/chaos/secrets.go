package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/harness"
)

// secrets are all keys and tokens that existed in a run, by their texts, and where they were.
type secrets struct {
	mu  sync.Mutex
	all map[string]string
}

// texts are what gives a secret away: a token, a key in base64, a line of a private key.
var texts = regexp.MustCompile(`[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[A-Za-z0-9+/]{40,64}={0,2}`)

// add adds those that there are now. Revisions hold no secrets, and certificates are public.
func (s *secrets) add(ctx context.Context, scene *harness.Scene) error {
	list := &corev1.SecretList{}
	err := scene.Client.List(ctx, list, client.InNamespace(scene.Key.Namespace), client.HasLabels{v1alpha1.LabelCluster})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range list.Items {
		if secret.Labels[v1alpha1.LabelRevision] != "" {
			continue
		}
		for key, value := range secret.Data {
			if strings.HasSuffix(key, ".crt") {
				continue
			}
			for _, text := range texts.FindAllString(string(value), -1) {
				s.all[text] = fmt.Sprintf("%s in %s", key, secret.Name)
			}
		}
	}
	return nil
}

// found are the secrets that somebody finds without reading the Secrets that hold them: in logs, in objects, in the arguments of
// processes. It fails if there were none, or it cannot look everywhere.
func (s *secrets) found(ctx context.Context, scene *harness.Scene) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return nil, fmt.Errorf("no secret was seen")
	}
	var found []string
	look := func(where string, what []byte) {
		for text, origin := range s.all {
			encoded := base64.StdEncoding.EncodeToString([]byte(text)) // as in a Secret
			if strings.Contains(string(what), text) || strings.Contains(string(what), encoded) {
				found = append(found, fmt.Sprintf("%s is in %s", origin, where))
			}
		}
	}
	for _, search := range []func(func(string, []byte)) error{
		func(look func(string, []byte)) error { return lookAtObjects(ctx, scene, look) },
		func(look func(string, []byte)) error { return lookAtLogs(scene.Dir, look) },
		func(look func(string, []byte)) error { return lookAtPods(ctx, scene, look) },
		lookAtProcesses,
	} {
		if err := search(look); err != nil {
			return nil, err
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// lookAtObjects looks at what people see who may not read Secrets, and at the revisions.
func lookAtObjects(ctx context.Context, scene *harness.Scene, look func(string, []byte)) error {
	lists := []client.ObjectList{
		&v1alpha1.ConsulClusterList{}, &corev1.EventList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{},
		&corev1.ConfigMapList{}, &corev1.ServiceList{}, &networkingv1.NetworkPolicyList{},
	}
	for _, list := range lists {
		if err := scene.Client.List(ctx, list, client.InNamespace(scene.Key.Namespace)); err != nil {
			return err
		}
		text, err := json.Marshal(list)
		if err != nil {
			return err
		}
		look(fmt.Sprintf("%T", list), text)
	}
	revisions := &corev1.SecretList{}
	if err := scene.Client.List(ctx, revisions, client.HasLabels{v1alpha1.LabelRevision}); err != nil {
		return err
	}
	for _, revision := range revisions.Items {
		for key, value := range revision.Data {
			look(key+" in the revision "+revision.Name, value)
		}
	}
	return nil
}

func lookAtLogs(dir string, look func(string, []byte)) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".log" {
			return err
		}
		text, err := os.ReadFile(path)
		look(path, text)
		return err
	})
}

// lookAtPods looks at what the pods print. On real nodes that is in no file of ours.
func lookAtPods(ctx context.Context, scene *harness.Scene, look func(string, []byte)) error {
	clients, err := kubernetes.NewForConfig(scene.Config)
	if err != nil {
		return err
	}
	pods := &corev1.PodList{}
	if err := scene.Client.List(ctx, pods, client.InNamespace(scene.Key.Namespace)); err != nil {
		return err
	}
	for _, pod := range pods.Items {
		for _, container := range append(slices.Clone(pod.Spec.InitContainers), pod.Spec.Containers...) {
			options := &corev1.PodLogOptions{Container: container.Name}
			text, err := clients.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).DoRaw(ctx)
			if apierrors.IsBadRequest(err) || apierrors.IsNotFound(err) { // it has not started, or is gone
				continue
			}
			if err != nil {
				return fmt.Errorf("the log of %s in %s: %w", container.Name, pod.Name, err)
			}
			look(fmt.Sprintf("the log of %s in %s", container.Name, pod.Name), text)
		}
	}
	return nil
}

// lookAtProcesses looks at the arguments of all processes, which everybody on a node can read.
func lookAtProcesses(look func(string, []byte)) error {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if arguments, err := os.ReadFile(file); err == nil { // it has ended
			look(file, arguments)
		}
	}
	return err
}
