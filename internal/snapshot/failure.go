package snapshot

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/consul-operator/consul-operator/api/reason"
)

// failure is an error with the reason that users see.
type failure struct {
	reason reason.Reason
	error
}

func (f *failure) Unwrap() error { return f.error }

// failed gives an error a reason, unless it has one; nil if there is none.
func failed(why reason.Reason, err error) error {
	if err == nil || errors.As(err, new(*failure)) {
		return err
	}
	return &failure{why, err}
}

// reasonOf is the reason of an error.
func reasonOf(err error) reason.Reason {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.reason
	}
	return reason.SnapshotFails
}

// final are the reasons that do not go away while a task goes on: who refuses now refuses again.
var final = map[reason.Reason]bool{
	reason.ConsulRefuses: true, reason.StoreRefuses: true, reason.SnapshotDamaged: true, reason.SnapshotKeyMissing: true,
	reason.SnapshotMissing: true, reason.SnapshotUnfit: true,
}

// tokensWithin is how long Consul may refuse a token that is being made again, as after a restore.
const tokensWithin = 2 * time.Minute

// isFinal reports whether a task that has gone on for a while ends with an error.
func isFinal(err error, after time.Duration) bool {
	why := reasonOf(err)
	return final[why] && (why != reason.ConsulRefuses || after > tokensWithin)
}

// pause is how long a task waits before it tries again: a leader is elected in seconds.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// ErrAgain is what fails and may succeed later.
var ErrAgain = errors.New("it is tried again")

// persist repeats an attempt until it succeeds, fails for good, or there is no more time for it. A pod that is deleted has
// another one begin anew.
func (t Task) persist(ctx context.Context, attempt func(context.Context) error) error {
	start := time.Now()
	again := func(err error) error { return &failure{reasonOf(err), errors.Join(err, ErrAgain)} }
	isStopped := func() bool { return t.Patience > 0 && errors.Is(ctx.Err(), context.Canceled) }
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := attempt(ctx)
		switch tried := time.Since(start); {
		case err == nil:
			return nil
		case isStopped():
			return again(err)
		case isFinal(err, tried):
			return err
		case t.Patience > 0 && tried > t.Patience && !final[reasonOf(err)]: // what is final before long is waited for
			return again(err)
		}
		log.FromContext(ctx).Info("trying again", "error", err.Error(), "after", pause)
		select {
		case <-ctx.Done():
			if isStopped() {
				return again(err)
			}
			return err
		case <-time.After(pause):
		}
	}
}
