package snapshot

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// hold stops a stream until it is released.
type hold struct {
	reached, ended, released chan struct{}
	release                  func()
	// answered is closed when the task has its answer.
	answered chan struct{}
}

func newHold(t *testing.T) *hold {
	t.Helper()
	h := &hold{
		reached: make(chan struct{}), ended: make(chan struct{}), released: make(chan struct{}), answered: make(chan struct{}),
	}
	h.release = sync.OnceFunc(func() { close(h.released) })
	t.Cleanup(h.release) // or a test that fails waits for it
	return h
}

func (h *hold) wait() error {
	close(h.reached)
	<-h.released
	return io.EOF
}

func (h *hold) end() error {
	close(h.ended)
	return io.EOF
}

// request holds what is sent after so many bytes.
func (h *hold) request(after int64) effect {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		held := io.MultiReader(io.LimitReader(r.Body, after), action(h.wait), r.Body, action(h.end))
		r.Body = readCloser{held, r.Body}
		next.ServeHTTP(w, r)
	}
}

// answer holds what is answered after so many bytes.
func (h *hold) answer(after int) effect {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&heldWriter{w, h, after}, r)
	}
}

type heldWriter struct {
	http.ResponseWriter
	hold *hold
	left int
}

func (w *heldWriter) Write(p []byte) (int, error) {
	was := w.left
	if w.left -= len(p); was > 0 && w.left <= 0 {
		_ = w.hold.wait()
	}
	return w.ResponseWriter.Write(p)
}

func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// loses holds the whole answer, and loses it then.
func (h *hold) loses(next http.Handler, _ http.ResponseWriter, r *http.Request) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	_ = h.wait()
	panic(http.ErrAbortHandler)
}

// leaders is a real cluster that may lose its leader, a real store, and a task.
type leaders struct {
	members []*member
	front   *front
	now     atomic.Pointer[disturbance]
	bucket  *Bucket
	task    Task
	// large is how many keys are there whose values cannot be compressed: all buffers on the way hold less.
	large int
}

func startLeaders(t *testing.T, large int) *leaders {
	t.Helper()
	l := &leaders{members: startCluster(t, "1.22.7"), large: large}
	l.disturb(isWrite, nil, 0)
	front, consul := newFront(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.now.Load().before(next).ServeHTTP(w, r) })
	})
	l.front = front
	l.bucket, _ = startBucket(t, undisturbed)
	l.task = Task{Consul: consul, Store: l.bucket, Name: "1.snap"}
	leader, _ := leads(t, l.members)
	value := noise(valueBytes)
	for i := range l.large {
		_, err := leader.client.KV().Put(&api.KVPair{Key: fmt.Sprintf("large/%d", i), Value: value}, nil)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
	}
	return l
}

// disturb disturbs the next requests of a kind, and returns what counts them.
func (l *leaders) disturb(to func(*http.Request) bool, by effect, times int32) *disturbance {
	d := &disturbance{to: to, by: by, times: times}
	l.now.Store(d)
	return d
}

const (
	aLeader   = "the leader"
	aFollower = "a follower"
)

// ask has Consul be reached through the leader or a follower, and returns who leads and who does not.
func (l *leaders) ask(t *testing.T, who string) (leader *member, others []*member) {
	t.Helper()
	heal(t, l.members)
	leader, others = leads(t, l.members)
	l.front.leadTo(map[string]*member{aLeader: leader, aFollower: others[0]}[who])
	return leader, others
}

// A leader that is lost while it saves leaves no object behind, and the task saves what the next one has.
func TestLeaderIsLostWhileItSaves(t *testing.T) {
	long(t)
	t.Parallel()
	l := startLeaders(t, 48)
	for _, who := range []string{aFollower, aLeader} {
		t.Run("asked through "+who, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			leader, others := l.ask(t, who)
			held := newHold(t)
			l.disturb(isRead, held.answer(partSize+partSize/4), 1)
			lost := make(chan error, 1)
			go func() { _, err := l.task.saveOnce(ctx); lost <- err }()
			g.Eventually(held.reached, "60s").Should(BeClosed())
			leader.kill()
			l.front.leadTo(others[0])
			held.release()
			var err error
			g.Eventually(lost, "60s").Should(Receive(&err))
			g.Expect(reasonOf(err)).To(Equal(reason.ConsulUnreachable))
			g.Expect(err).To(MatchError(Or(
				ContainSubstring("Consul stopped in the middle of its answer"), ContainSubstring("what Consul has sent is no whole snapshot"),
			)))
			_, err = get(ctx, l.bucket, l.task.Name)
			g.Expect(reasonOf(err)).To(Equal(reason.SnapshotMissing))
			g.Expect(uploads(t, l.bucket)).To(BeEmpty())

			saved, err := l.task.Save(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(saved.Records[recordKVS]).To(Equal(l.large))
			g.Expect(l.bucket.Delete(ctx, l.task.Name)).To(Succeed())
		})
	}
}

// loss is how a leader is lost while it restores.
type loss struct {
	who string
	by  func(*hold) effect
	// then is what happens when the stream is held. The leader is killed after it.
	then func(g *WithT, h *hold, leader *member, others []*member)
	// isGiven is whether Consul was given all.
	isGiven bool
}

// losses are those of a snapshot of a size.
func losses(size int64) map[string]loss {
	inTheMiddle := func(h *hold) effect { return h.request(size / 10) }
	atTheEnd := func(h *hold) effect { return h.request(size - endSize) }
	return map[string]loss{
		"in the middle":                      {aLeader, inTheMiddle, nil, false},
		"in the middle, behind a follower":   {aFollower, inTheMiddle, nil, false},
		"before it tells, behind a follower": {aFollower, func(h *hold) effect { return h.loses }, nil, true},
		"with all of it": {aFollower, atTheEnd, func(g *WithT, h *hold, leader *member, _ []*member) {
			leader.freeze(g)
			h.release()
			g.Eventually(h.ended, "60s").Should(BeClosed())
		}, true},
		"alone with what it has restored": {aLeader, atTheEnd, func(g *WithT, h *hold, leader *member, others []*member) {
			was, err := leader.keys()
			g.Expect(err).NotTo(HaveOccurred())
			for _, m := range others {
				m.freeze(g)
			}
			h.release()
			g.Eventually(func() bool {
				select {
				case <-h.answered: // it has seen before that it is alone
					return true
				default:
					is, err := leader.keys()
					return err == nil && is != was
				}
			}, "60s").Should(BeTrue())
		}, true},
	}
}

// A leader may be lost at any time while it restores. The task goes on until the next one has restored all, and then all servers
// have it, and the one that was lost as well when it comes back.
func TestLeaderIsLostWhileItRestores(t *testing.T) {
	long(t)
	t.Parallel()
	g := NewWithT(t)
	l := startLeaders(t, 24)
	leader, _ := l.ask(t, aFollower)
	saved, err := l.task.Save(soon(t))
	g.Expect(err).NotTo(HaveOccurred())
	was, err := leader.keys()
	g.Expect(err).NotTo(HaveOccurred())
	for name, c := range losses(saved.Size) {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			leader, others := l.ask(t, c.who)
			is := change(t, leader)
			allHave(t, l.members, is)
			held := newHold(t)
			tries := l.disturb(isWrite, c.by(held), 1)
			given, err := l.lose(ctx, t, c, held, leader, others)
			t.Logf("given: %t; %v", given, err)
			g.Expect(err).To(HaveOccurred())
			g.Expect(given).To(Equal(c.isGiven))
			if !given {
				leads(t, l.members)
				allHave(t, l.members, is)
			}

			_, err = l.task.Restore(ctx, fits)
			g.Expect(err).NotTo(HaveOccurred())
			t.Logf("%d tries", tries.seen.Load())
			allHave(t, l.members, was)
			heal(t, l.members)
			allHave(t, l.members, was)
		})
	}
}

// change changes what was saved, and returns what there is then.
func change(t *testing.T, leader *member) string {
	t.Helper()
	g := NewWithT(t)
	_, err := leader.client.KV().Put(&api.KVPair{Key: "later"}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = leader.client.KV().DeleteTree("large/1", nil)
	g.Expect(err).NotTo(HaveOccurred())
	is, err := leader.keys()
	g.Expect(err).NotTo(HaveOccurred())
	return is
}

// lose restores while the leader is lost.
func (l *leaders) lose(ctx context.Context, t *testing.T, c loss, held *hold, leader *member, others []*member) (bool, error) {
	t.Helper()
	g := NewWithT(t)
	var given bool
	var err error
	go func() {
		defer close(held.answered)
		given, err = l.task.restoreOnce(ctx)
	}()
	g.Eventually(held.reached, "60s").Should(BeClosed())
	if c.then != nil {
		c.then(g, held, leader, others)
	}
	leader.kill()
	l.front.leadTo(others[0])
	for _, m := range others {
		m.thaw(g)
	}
	held.release()
	g.Eventually(held.answered, "60s").Should(BeClosed())
	return given, err
}
