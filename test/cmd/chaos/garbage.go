package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/load"
	"github.com/consul-operator/consul-operator/test/lib/observer"
	"github.com/consul-operator/consul-operator/test/lib/report"
)

// garbage is an answer that no agent of this cluster gives. Some of it is made of what the agent itself answers.
type garbage struct {
	name   string
	answer func(w http.ResponseWriter, r *http.Request, agent httputil.ReverseProxy)
}

var garbages = []garbage{
	{"an HTML page", answerWith("text/html", "<!DOCTYPE html><html><body>Please sign in: true</body></html>")},
	{"an empty object", answerWith("application/json", "{}")},
	{"errors with a long text", failAtLength},
	{"a header without end", answerNoEnd},
	{"thousands of servers", answerThousands},
	{"half of each answer", answerHalf},
	{"the answers of another cluster", answerAsAnother},
}

func answerWith(contentType, text string) func(http.ResponseWriter, *http.Request, httputil.ReverseProxy) {
	return func(w http.ResponseWriter, _ *http.Request, _ httputil.ReverseProxy) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

func failAtLength(w http.ResponseWriter, _ *http.Request, _ httputil.ReverseProxy) {
	http.Error(w, strings.Repeat("The upstream is not there. ", 100_000), http.StatusInternalServerError)
}

func answerNoEnd(w http.ResponseWriter, _ *http.Request, _ httputil.ReverseProxy) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(patience))
	_, err = io.WriteString(connection, "HTTP/1.1 200 OK\r\n")
	for line := "X-More: " + strings.Repeat("x", 1000) + "\r\n"; err == nil; {
		_, err = io.WriteString(connection, line)
	}
}

// answerThousands lists servers that nobody knows, in the shape of all of Consul's lists.
func answerThousands(w http.ResponseWriter, r *http.Request, _ httputil.ReverseProxy) {
	var list strings.Builder
	for i := range 5000 {
		id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		fmt.Fprintf(&list, `,{"ID":%q,"Node":"x-%d","Name":"x-%[2]d","Voter":true,"Healthy":true,"Status":1,`+
			`"Tags":{"role":"consul","id":%[1]q}}`, id, i)
	}
	text := "[" + strings.TrimPrefix(list.String(), ",") + "]"
	if strings.HasPrefix(r.URL.Path, "/v1/operator/") {
		text = `{"Servers":` + text + "}"
	}
	_, _ = io.WriteString(w, text)
}

// answerHalf does what it is asked to, and breaks off in the middle of the answer.
func answerHalf(w http.ResponseWriter, r *http.Request, agent httputil.ReverseProxy) {
	agent.ModifyResponse = func(resp *http.Response) error {
		half := resp.ContentLength / 2
		if half < 0 { // not told
			half = 100
		}
		resp.Body = cut{io.LimitReader(resp.Body, half), resp.Body}
		return nil
	}
	agent.ServeHTTP(w, r)
}

type cut struct {
	io.Reader
	io.Closer
}

var nodeID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// answerAsAnother answers like a cluster of the same names and of other node IDs, and claims to have done what it is asked to.
func answerAsAnother(w http.ResponseWriter, r *http.Request, agent httputil.ReverseProxy) {
	if r.Method != http.MethodGet {
		_, _ = io.WriteString(w, `{"Success":true}`)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/monitor") { // a stream: there is no end to replace anything before
		agent.ServeHTTP(w, r)
		return
	}
	agent.ModifyResponse = func(resp *http.Response) error {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		other := nodeID.ReplaceAllFunc(body, func(id []byte) []byte { return slices.Concat(id[28:], id[8:28], id[:8]) })
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(other)), int64(len(other))
		return nil
	}
	agent.ServeHTTP(w, r)
}

// impostor answers for an agent.
type impostor struct {
	garbage
	agent httputil.ReverseProxy
	// often is in how many of ten calls it does. In the others the agent itself answers.
	often int
}

func newImpostor(agent string, access load.Access, g garbage, often int) *impostor {
	return &impostor{garbage: g, often: often, agent: httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: access.Scheme(), Host: agent})
			r.Out.Header.Del("Accept-Encoding") // what is compressed could not be changed
		},
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: access.TLS.Clone()},
		ErrorLog:  log.New(io.Discard, "", 0), // the agent may be down
	}}
}

func (i *impostor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rand.IntN(10) < i.often { //nolint:gosec // no secret
		i.answer(w, r, i.agent)
		return
	}
	i.agent.ServeHTTP(w, r)
}

// garble lets the operator hear garbage from an agent, or from all of them, each time or half of the times. Clients and the
// observer hear the agents as they are, so all invariants hold.
func (f *faults) garble(ctx context.Context) (string, error) {
	isThere := func(s observer.ServerNow) bool { return exists(s) && s.Address != "" }
	victim, err := f.victim(isThere)
	if err != nil {
		return "", err
	}
	victims, who := []observer.ServerNow{victim}, title(victim)
	if f.random.IntN(4) == 0 {
		victims, who = f.Observer.Snapshot().Servers, "all servers"
		victims = slices.DeleteFunc(victims, func(s observer.ServerNow) bool { return !isThere(s) })
	}
	what, often := garbages[f.random.IntN(len(garbages))], []int{5, 10}[f.random.IntN(2)]
	access, err := f.Access(ctx)
	if err != nil {
		return "", err
	}
	var ends []func() error
	for _, server := range victims {
		address := access.At(server.Address)
		agent := newImpostor(address, access, what, often)
		var certificate *tls.Config
		if access.TLS != nil {
			certificate = presenting(address, f.certificate)
		}
		end, err := impersonate(f.lines.detours, address, agent, certificate)
		if ends = append(ends, end); err != nil {
			return "", errors.Join(err, all(ends))
		}
	}
	duration := f.seconds(5, 60)
	f.during(garbling, duration, func() error { return all(ends) })
	return fmt.Sprintf("%s from %s, %d%% of the calls, for %s", what.name, who, 10*often, report.Seconds(duration)), nil
}

// presenting lets an impostor present what its agent presents. One that was ahead of its agent would prove to the operator
// that the agent has read a new certificate. While the agent is down, it presents what the agent presented last.
func presenting(agent string, wanted func(context.Context) (tls.Certificate, error)) *tls.Config {
	var last atomic.Pointer[tls.Certificate]
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		presented, err := certificateAt(hello.Context(), agent)
		if err != nil {
			return last.Load(), nil
		}
		pair, err := wanted(hello.Context())
		switch {
		case err != nil:
			return nil, err
		case !bytes.Equal(pair.Certificate[0], presented):
			return nil, errors.New("the agent does not present this certificate")
		}
		last.Store(&pair)
		return &pair, nil
	}}
}

// certificateAt is what an address presents.
func certificateAt(ctx context.Context, address string) ([]byte, error) {
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}} //nolint:gosec // it only looks
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw, nil //nolint:forcetypeassert // a tls.Dialer's
}

// certificate is what servers are to present.
func (f *faults) certificate(ctx context.Context) (tls.Certificate, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: f.Key.Namespace, Name: resources.CertificateSecretName(f.Key.Name)}
	if err := f.Client.Get(ctx, key, secret); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
}

// impersonate lets an impostor answer for an agent until end is called, with a certificate if it has one.
func impersonate(detours, agent string, by http.Handler, certificate *tls.Config) (end func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if certificate != nil {
		listener = tls.NewListener(listener, certificate)
	}
	server := &http.Server{Handler: by, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }()
	link := filepath.Join(detours, agent)
	end = func() error { return errors.Join(os.Remove(link), server.Close()) }
	return end, os.Symlink(address, link)
}

func all(ends []func() error) error {
	var errs error
	for _, end := range ends {
		errs = cmp.Or(end(), errs)
	}
	return errs
}
