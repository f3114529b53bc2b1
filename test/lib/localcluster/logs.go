package localcluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// serveKubelets serves two paths of a kubelet's API: that which people miss most, for `kubectl logs`, and statistics of volumes.
func (c *Cluster) serveKubelets(ctx context.Context) error {
	addresses := make([]string, 0, len(c.nodes))
	for _, node := range c.nodes {
		addresses = append(addresses, node.addresses...)
	}
	pair, err := c.control.ca.serving("kubelet", addresses, nil)
	if err != nil {
		return err
	}
	certificate, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AddCert(c.control.ca.cert)
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
		ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", c.handleLogs)
	mux.HandleFunc("GET /stats/summary", c.kubelet.handleStats)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	for _, node := range c.nodes {
		listener, err := tls.Listen("tcp", net.JoinHostPort(node.addresses[0], "0"), config)
		if err != nil {
			return err
		}
		node.port = int32(listener.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
		c.loops.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				c.log.Error(err, "serving the API of kubelets")
			}
		})
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return nil
}

func (c *Cluster) handleLogs(w http.ResponseWriter, r *http.Request) {
	path := c.LogFile(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
	file, err := os.Open(path) //nolint:gosec // a name the cluster made
	if err != nil {
		http.Error(w, fmt.Sprintf("no log: %v", err), http.StatusNotFound)
		return
	}
	defer func() { _ = file.Close() }()
	if lines, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil {
		if err := seekTail(file, lines); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	follow := r.URL.Query().Get("follow") == "true"
	worker := c.kubelet.worker(r.PathValue("namespace"), r.PathValue("pod"))
	flush := http.NewResponseController(w)
	for {
		n, err := io.Copy(w, file)
		if err != nil || !follow {
			return
		}
		if n > 0 {
			_ = flush.Flush()
		}
		select {
		case <-worker.done: // what it wrote last is in the file already
			_, _ = io.Copy(w, file)
			return
		default:
		}
		// Files do not tell when they grow.
		if !sleep(r.Context(), 200*time.Millisecond) {
			return
		}
	}
}

// seekTail goes to the beginning of the last lines.
func seekTail(file *os.File, lines int) error {
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	text := strings.TrimSuffix(string(data), "\n")
	from := len(text)
	for range lines {
		if from = strings.LastIndexByte(text[:from], '\n'); from < 0 {
			break
		}
	}
	if lines <= 0 {
		from = len(data) - 1
	}
	_, err = file.Seek(int64(from+1), io.SeekStart)
	return err
}
