package snapshot

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

// startBucket is a real object store, reached through a handler that may disturb it.
func startBucket(t *testing.T, disturb func(next http.Handler) http.Handler) (*Bucket, BucketOptions) {
	t.Helper()
	g := NewWithT(t)
	store, err := objectstore.Start(t.Context(), "../../bin", t.TempDir(), "backups")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(store.Stop)
	to, err := url.Parse(store.URL)
	g.Expect(err).NotTo(HaveOccurred())
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // is signed
	}}
	between := httptest.NewServer(disturb(proxy))
	t.Cleanup(between.Close)
	options := BucketOptions{
		Bucket: "backups", Region: "us-east-1", Endpoint: between.URL, PathStyle: true, CredentialsDir: t.TempDir(),
	}
	g.Expect(objectstore.WriteCredentials(options.CredentialsDir)).To(Succeed())
	bucket, err := OpenBucket(t.Context(), options)
	g.Expect(err).NotTo(HaveOccurred())
	return bucket, options
}

func undisturbed(next http.Handler) http.Handler { return next }

func TestBucket(t *testing.T) {
	bucket, _ := startBucket(t, undisturbed)
	testStore(t, bucket)
}

// An object store that refuses is told apart from one that does not answer: trying again helps with one of them alone.
func TestBucketThatRefuses(t *testing.T) {
	_, options := startBucket(t, undisturbed)
	unknown := options
	unknown.Bucket = "missing"
	strangers := options
	strangers.CredentialsDir = t.TempDir()
	none := options
	none.CredentialsDir = t.TempDir()
	g := NewWithT(t)
	g.Expect(objectstore.WriteCredentials(strangers.CredentialsDir)).To(Succeed())
	g.Expect(writeFile(strangers.CredentialsDir+"/secretAccessKey", "another")).To(Succeed())
	for name, o := range map[string]BucketOptions{"no such bucket": unknown, "wrong key": strangers, "no key": none} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			bucket, err := OpenBucket(t.Context(), o)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(reasonOf(putText(t, bucket, "text"))).To(Equal(reason.StoreRefuses))
			g.Expect(reasonOf(putText(t, bucket, strings.Repeat("x", partSize+1)))).To(Equal(reason.StoreRefuses))
		})
	}
}

func putText(t *testing.T, store Store, text string) error {
	t.Helper()
	object, err := store.Create(t.Context(), "name")
	if err != nil {
		return err
	}
	defer object.Abort()
	if _, err := io.WriteString(object, text); err != nil {
		return err
	}
	return object.Commit()
}

// What goes wrong on the way leaves no object, and a task that goes on trying stores a whole one in the end.
func TestBucketThatIsDisturbed(t *testing.T) {
	for name, status := range map[string]int{"busy": http.StatusServiceUnavailable, "slow down": http.StatusTooManyRequests} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			bucket, _ := startBucket(t, func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			})
			g.Expect(reasonOf(putText(t, bucket, "text"))).To(Equal(reason.StoreUnreachable))
		})
	}
	t.Run("full", func(t *testing.T) {
		bucket, _ := startBucket(t, func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInsufficientStorage)
				_, _ = fmt.Fprint(w, `<Error><Code>StorageFull</Code><Message>no space is left</Message></Error>`)
			})
		})
		err := putText(t, bucket, "text")
		NewWithT(t).Expect(reasonOf(err)).To(Equal(reason.StoreRefuses))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("no space is left")))
	})
	t.Run("the answer breaks off", func(t *testing.T) {
		g := NewWithT(t)
		broken := &disturbance{to: isOpen, by: breaksOff, times: 1}
		bucket, _ := startBucket(t, broken.before)
		text := strings.Repeat("x", 1<<20)
		g.Expect(putText(t, bucket, text)).To(Succeed())
		_, err := get(t.Context(), bucket, "name")
		g.Expect(reasonOf(err)).To(Equal(reason.StoreUnreachable))
		g.Expect(get(t.Context(), bucket, "name")).To(HaveLen(len(text)))
	})
	t.Run("nobody is there", func(t *testing.T) {
		g := NewWithT(t)
		_, options := startBucket(t, undisturbed)
		options.Endpoint = "http://127.0.0.1:1"
		bucket, err := OpenBucket(t.Context(), options)
		g.Expect(err).NotTo(HaveOccurred())
		start := time.Now()
		g.Expect(reasonOf(putText(t, bucket, "text"))).To(Equal(reason.StoreUnreachable))
		t.Logf("said after %s", time.Since(start))
	})
}
