// Package objectstore is an object store that speaks S3 on the loopback address, in front of a folder.
package objectstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/child"
)

// Credentials of the store.
const (
	AccessKeyID     = "operators-tests"
	SecretAccessKey = "c0b3e5f7-not-a-secret"
)

// Store is a server that runs.
type Store struct {
	// URL is where it is reached.
	URL     string
	dir     string
	process *child.Process
}

// Start starts a store with some buckets, whose data is in a folder. Its program is versitygw, in the folder of programs.
func Start(ctx context.Context, programs, dir string, buckets ...string) (*Store, error) {
	attributes := filepath.Join(dir, "attributes") // many file systems have none for users
	if err := os.MkdirAll(attributes, 0o700); err != nil {
		return nil, err
	}
	return start(ctx, dir, buckets, func(address, objects string) *exec.Cmd {
		command := exec.Command(filepath.Join(programs, "versitygw"), //nolint:gosec // one of ours
			"--port", address, "--quiet", "posix", "--sidecar", attributes, objects)
		command.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+AccessKeyID, "ROOT_SECRET_ACCESS_KEY="+SecretAccessKey)
		return command
	})
}

// StartAnother starts one of another make, rclone.
func StartAnother(ctx context.Context, programs, dir string, buckets ...string) (*Store, error) {
	return start(ctx, dir, buckets, func(address, objects string) *exec.Cmd {
		return exec.Command(filepath.Join(programs, "rclone"), //nolint:gosec // one of ours
			"serve", "s3", "--config=", "--addr="+address, "--auth-key="+AccessKeyID+","+SecretAccessKey, objects)
	})
}

func start(ctx context.Context, dir string, buckets []string, program func(address, objects string) *exec.Cmd) (*Store, error) {
	for _, bucket := range buckets {
		if err := os.MkdirAll(filepath.Join(dir, "objects", bucket), 0o700); err != nil {
			return nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log")) //nolint:gosec // a folder of the caller's
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own
	command := program(address, filepath.Join(dir, "objects"))
	command.Stdout, command.Stderr = log, log
	s := &Store{URL: "http://" + address, dir: dir}
	if s.process, err = child.StartCommand(command); err != nil {
		return nil, fmt.Errorf("%s (run `make tools`): %w", filepath.Base(command.Path), err)
	}
	if err := s.await(ctx, address); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// startWithin is how long the store may take until it listens.
const startWithin = 10 * time.Second

func (s *Store) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	return await.Success(ctx, 20*time.Millisecond, func() error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

// freeAddress is not 127.0.0.1, which stands for the pod itself in what pods of the local cluster are told.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Stop ends the store. Its data stays.
func (s *Store) Stop() { s.process.Stop(time.Second) }

// File is where the store keeps an object.
func (s *Store) File(bucket, name string) string {
	return filepath.Join(s.dir, "objects", bucket, name)
}

// WriteCredentials writes the credentials into a folder, as a Secret shows them.
func WriteCredentials(dir string) error {
	for name, text := range map[string]string{"accessKeyId": AccessKeyID, "secretAccessKey": SecretAccessKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
