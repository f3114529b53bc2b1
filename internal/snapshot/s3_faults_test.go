package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/test/lib/await"
)

// What a request to an object store is.
func isList(r *http.Request) bool  { return r.Method == http.MethodGet && r.URL.Query().Has("uploads") }
func isOpen(r *http.Request) bool  { return r.Method == http.MethodGet && !r.URL.Query().Has("uploads") }
func isWrite(r *http.Request) bool { return r.Method == http.MethodPut }
func isPart2(r *http.Request) bool { return isWrite(r) && r.URL.Query().Get("partNumber") == "2" }
func isCompletion(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// begin begins an upload and sends a part, as a task that is killed then.
func begin(t *testing.T, bucket *Bucket, name string) {
	t.Helper()
	g := NewWithT(t)
	begun, err := bucket.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket.name, Key: &name})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = bucket.client.UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: &bucket.name, Key: &name, UploadId: begun.UploadId, PartNumber: ptr.To[int32](1), Body: bytes.NewReader(noise(100)),
	})
	g.Expect(err).NotTo(HaveOccurred())
}

// uploads are the names of what was begun and neither completed nor aborted.
func uploads(t *testing.T, bucket *Bucket) []string {
	t.Helper()
	list, err := bucket.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket.name})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	names := []string{}
	for _, upload := range list.Uploads {
		names = append(names, ptr.Deref(upload.Key, ""))
	}
	return names
}

// slow answers late, and in pieces. No two of them are apart for long, but all takes longer than mostSilence.
func slow(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const late, pieces = 300 * time.Millisecond, 6
		_ = await.Sleep(r.Context(), late)
		if !isOpen(r) {
			next.ServeHTTP(w, r)
			return
		}
		text := answerOf(next, r)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		for i := range pieces {
			_, _ = w.Write(text[len(text)*i/pieces : len(text)*(i+1)/pieces])
			_ = http.NewResponseController(w).Flush()
			_ = await.Sleep(r.Context(), late)
		}
	})
}

func TestSlowStoreIsWaitedFor(t *testing.T) {
	shortenSilence(t, time.Second)
	g := NewWithT(t)
	bucket, _ := startBucket(t, slow)
	consul, _ := pretend(t, small(), undisturbed)
	saved, err := Task{Consul: consul, Store: bucket, Name: "1.snap"}.Save(soon(t))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(saved.Size).To(BeEquivalentTo(len(small())))
}

// Nobody waits without end for a store that has stopped without a word, whatever it was asked for.
func TestSilentStoreIsGivenUp(t *testing.T) {
	write := func(ctx context.Context, b *Bucket) error { return put(ctx, b, "new", []byte("text")) }
	writeParts := func(ctx context.Context, b *Bucket) error { return put(ctx, b, "new", noise(partSize+1)) }
	read := func(ctx context.Context, b *Bucket) error { _, err := get(ctx, b, "old"); return err }
	remove := func(ctx context.Context, b *Bucket) error { return b.Delete(ctx, "old") }
	isDelete := func(r *http.Request) bool { return r.Method == http.MethodDelete }
	for name, c := range map[string]struct {
		to func(*http.Request) bool
		by effect
		do func(context.Context, *Bucket) error
	}{
		"when it is to list":             {isList, hangs, write},
		"in the middle of a list":        {isList, hangsInTheMiddle, write},
		"when it is written to":          {isWrite, hangs, write},
		"when a part is written":         {isWrite, hangs, writeParts},
		"when parts are to be completed": {isCompletion, hangs, writeParts},
		"when it is read from":           {isOpen, hangs, read},
		"in the middle of an object":     {isOpen, hangsInTheMiddle, read},
		"when it is to delete":           {isDelete, hangs, remove},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			silent := &disturbance{to: c.to, by: c.by}
			bucket, _ := startBucket(t, silent.before)
			g.Expect(put(ctx, bucket, "old", noise(1<<20))).To(Succeed())
			shortenSilence(t, 500*time.Millisecond)
			silent.seen.Store(0)
			silent.times = 1000
			for silent.seen.Load() == 0 && ctx.Err() == nil { // what comes before may take too long as well
				g.Expect(reasonOf(c.do(ctx, bucket))).To(Equal(reason.StoreUnreachable))
			}
			g.Expect(ctx.Err()).NotTo(HaveOccurred(), "it is given up long before")
		})
	}
	t.Run("from the start", func(t *testing.T) {
		g, ctx := NewWithT(t), soon(t)
		listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody answers
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { _ = listener.Close() })
		_, options := startBucket(t, undisturbed)
		options.Endpoint = "http://" + listener.Addr().String()
		bucket, err := OpenBucket(ctx, options)
		g.Expect(err).NotTo(HaveOccurred())
		shortenSilence(t, 500*time.Millisecond)
		for _, do := range []func(context.Context, *Bucket) error{write, writeParts, read, remove} {
			g.Expect(reasonOf(do(ctx, bucket))).To(Equal(reason.StoreUnreachable))
		}
		g.Expect(ctx.Err()).NotTo(HaveOccurred(), "it is given up long before")
	})
}

// A store that breaks while it is written to has all of a snapshot in the end, and no parts besides.
func TestStoreThatBreaksWhileItIsWrittenTo(t *testing.T) {
	busy := says(http.StatusServiceUnavailable, "SlowDown")
	for name, broken := range map[string]*disturbance{
		"busy once":                            {to: isPart2, by: busy, times: 1},
		"busy for longer than one tries":       {to: isPart2, by: busy, times: 3},
		"a connection is closed":               {to: isPart2, by: closes, times: 1},
		"connections are closed":               {to: isPart2, by: closes, times: 3},
		"busy when it is to complete":          {to: isCompletion, by: busy, times: 1},
		"closed when it is to complete":        {to: isCompletion, by: closes, times: 3},
		"it completes, and its answer is lost": {to: isCompletion, by: losesAnswer, times: 1},
		// As when a task that was believed dead goes on: each discards what the other one has begun.
		"it has forgotten the upload": {to: isCompletion, by: says(http.StatusNotFound, "NoSuchUpload"), times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			bucket, _ := startBucket(t, broken.before)
			consul, _ := pretend(t, large(), undisturbed)
			saved, err := Task{Consul: consul, Store: bucket, Name: "1.snap"}.Save(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(saved.Size).To(BeEquivalentTo(len(large())))
			g.Expect(broken.seen.Load()).To(BeNumerically(">", broken.times), "it was disturbed, and tried again")
			stored, err := get(ctx, bucket, "1.snap")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(bytes.Equal(stored, large())).To(BeTrue())
			g.Expect(uploads(t, bucket)).To(BeEmpty())
		})
	}
}

// What a task that was killed has left goes with the next one, and with the snapshot. What others write stays.
func TestPartsOfAKilledUploadAreDiscarded(t *testing.T) {
	for name, do := range map[string]func(context.Context, *Bucket) error{
		"when it is written": func(ctx context.Context, b *Bucket) error { _, err := b.Create(ctx, "a/1.snap"); return err },
		"when it is deleted": func(ctx context.Context, b *Bucket) error { return b.Delete(ctx, "a/1.snap") },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			bucket, _ := startBucket(t, undisturbed)
			for _, name := range []string{"a/1.snap", "a/1.snap", "a/1.snap.age", "b/1.snap"} {
				begin(t, bucket, name)
			}
			g.Expect(uploads(t, bucket)).To(HaveLen(4))
			g.Expect(do(t.Context(), bucket)).To(Succeed())
			g.Expect(uploads(t, bucket)).To(ConsistOf("a/1.snap.age", "b/1.snap"))
		})
	}
}

// Not every store can list what was begun, nor lets everybody: it stores snapshots all the same.
func TestStoreThatDoesNotList(t *testing.T) {
	for name, by := range map[string]effect{
		"it cannot": says(http.StatusNotImplemented, "NotImplemented"),
		"it denies": says(http.StatusForbidden, "AccessDenied"),
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			bucket, _ := startBucket(t, (&disturbance{to: isList, by: by, times: 1000}).before)
			g.Expect(put(ctx, bucket, "name", []byte("text"))).To(Succeed())
			g.Expect(get(ctx, bucket, "name")).To(BeEquivalentTo("text"))
			g.Expect(bucket.Delete(ctx, "name")).To(Succeed())
			_, err := get(ctx, bucket, "name")
			g.Expect(reasonOf(err)).To(Equal(reason.SnapshotMissing))
		})
	}
}

// anotherTime is a store by whose clock it is another time than by ours, and which refuses what was not signed at about that.
func anotherTime(ahead time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		switch {
		case err != nil || now.Sub(signed).Abs() > 15*time.Minute:
			says(http.StatusForbidden, "RequestTimeTooSkewed")(nil, w, r)
		case isList(r):
			_, _ = io.WriteString(w, "<ListMultipartUploadsResult/>")
		}
	})
}

// The time of a store counts and not that of a node, whose clock may be wrong. A refusal that this does not explain is one.
func TestClockSkew(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"ahead": time.Hour, "behind": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			bucket, _ := startBucket(t, func(http.Handler) http.Handler { return anotherTime(ahead) })
			NewWithT(t).Expect(putText(t, bucket, "text")).To(Succeed())
		})
	}
	tooSkewed := says(http.StatusForbidden, "RequestTimeTooSkewed")
	for name, by := range map[string]effect{
		"it has our time": tooSkewed,
		"it does not say what time it is": func(next http.Handler, w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			tooSkewed(next, w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			refused := &disturbance{to: isWrite, by: by, times: 1}
			bucket, _ := startBucket(t, refused.before)
			err := putText(t, bucket, "text")
			g.Expect(reasonOf(err)).To(Equal(reason.StoreRefuses))
			g.Expect(err).To(MatchError(ContainSubstring("RequestTimeTooSkewed: words of the store")))
			g.Expect(refused.seen.Load()).To(BeEquivalentTo(1), "it is not asked again")
			g.Expect(putText(t, bucket, "text")).To(Succeed())
		})
	}
}
