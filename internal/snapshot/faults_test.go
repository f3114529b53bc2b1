package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// damaged is a store that returns the last byte of each object changed.
type damaged struct{ Store }

func (d damaged) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	from, err := d.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }()
	text, err := io.ReadAll(from)
	text[len(text)-1] ^= 1
	return io.NopCloser(bytes.NewReader(text)), err
}

// changing is a store that returns another snapshot, which is whole, from the second time on.
type changing struct {
	Store
	opened atomic.Int32
}

func (c *changing) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if c.opened.Add(1) == 1 {
		return c.Store.Open(ctx, name)
	}
	state := good()
	return io.NopCloser(bytes.NewReader(archiveOf(metaOf(state), packed{fileState, state}))), nil
}

func writeFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }

// A task that has tried in vain for a while ends, so that its Job can say why. One that nobody may repeat goes on.
func TestPatience(t *testing.T) {
	g := NewWithT(t)
	down := failed(reason.StoreUnreachable, errors.New("nobody answers"))
	err := Task{Patience: time.Nanosecond}.persist(t.Context(), func(context.Context) error { return down })
	g.Expect(err).To(MatchError(ErrAgain))
	g.Expect(outcome(nil, err).Reason).To(Equal(reason.StoreUnreachable))

	err = Task{Patience: time.Nanosecond}.persist(t.Context(), func(context.Context) error {
		return failed(reason.StoreRefuses, errors.New("no such bucket"))
	})
	g.Expect(err).NotTo(MatchError(ErrAgain), "it does not succeed later either")

	tries := 0
	err = Task{}.persist(t.Context(), func(context.Context) error {
		if tries++; tries < 2 {
			return down
		}
		return nil
	})
	g.Expect(err).NotTo(HaveOccurred())
}
