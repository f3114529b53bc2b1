package localcluster_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/localcluster"
)

// helperImage is an image for which this test program stands.
const helperImage = "test/helper:1"

func images(image string) (string, error) {
	if image == helperImage {
		return os.Executable()
	}
	return localcluster.ConsulImages(filepath.Join("..", "..", "..", "bin"))(image)
}

// TestMain makes this program the helper when it is started as one.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "helper" {
		os.Exit(helper(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestLocalCluster(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Local cluster")
}

func helper(args []string) int {
	switch args[0] {
	case "exit": // exit CODE
		code, _ := strconv.Atoi(args[1])
		fmt.Println("exiting with", code)
		return code
	case "serve":
		return serve()
	case "grandchild": // leaves a process behind that ignores SIGTERM
		cmd := exec.Command("/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
		if err := cmd.Start(); err != nil {
			return 1
		}
		fmt.Println("grandchild", cmd.Process.Pid)
		return serve()
	case "cluster":
		return runCluster(args[1])
	}
	return 2
}

// serve answers on $POD_IP:8080 until SIGTERM, which takes $TERM_DELAY.
func serve() int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	healthy := true
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !healthy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/sicken", func(http.ResponseWriter, *http.Request) { healthy = false })
	http.HandleFunc("/cure", func(http.ResponseWriter, *http.Request) { healthy = true })
	http.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.Getenv(r.URL.Query().Get("name")))
	})
	http.HandleFunc("/args", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Args[1:]) })
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(r.URL.Query().Get("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	})
	http.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		if err := os.WriteFile(r.URL.Query().Get("name"), data, 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	go func() {
		if err := http.ListenAndServe(os.Getenv("POD_IP")+":8080", nil); err != nil { //nolint:gosec // a test
			fmt.Println(err)
			os.Exit(1)
		}
	}()
	fmt.Println("serving")
	<-term
	fmt.Println("terminating")
	if delay, err := time.ParseDuration(os.Getenv("TERM_DELAY")); err == nil {
		time.Sleep(delay)
	}
	fmt.Println("done")
	return 0
}

// runCluster starts a cluster in dir, says so, and waits to be killed.
func runCluster(dir string) int {
	cluster, err := localcluster.Start(context.Background(), localcluster.Options{
		Dir: dir, BinDir: os.Getenv("BIN_DIR"), Images: images,
	})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println(cluster.Kubeconfig())
	select {}
}
