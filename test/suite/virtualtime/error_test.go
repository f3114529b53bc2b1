package virtualtime

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/consul-operator/consul-operator/internal/consul"
)

// kubernetesErrors are answers of an API server, or the lack of one.
func kubernetesErrors(c call) map[string]verdict {
	resource, kind := schema.GroupResource{Resource: c.kind}, schema.GroupKind{Kind: c.kind}
	because := errors.New("because a test wants it")
	all := map[string]verdict{
		"429": {skip: true, err: apierrors.NewTooManyRequests("slow down", 1)},
		"500": {skip: true, err: apierrors.NewInternalError(because)},
		"timeout, not applied": {skip: true, err: apierrors.NewTimeoutError("no answer in time", 1),
			late: 10 * time.Second},
	}
	if !c.effect {
		return all
	}
	maps.Copy(all, map[string]verdict{
		"Conflict":         {skip: true, err: apierrors.NewConflict(resource, c.name, because)},
		"NotFound":         {skip: true, err: apierrors.NewNotFound(resource, c.name)},
		"AlreadyExists":    {skip: true, err: apierrors.NewAlreadyExists(resource, c.name)},
		"Forbidden":        {skip: true, err: apierrors.NewForbidden(resource, c.name, because)},
		"Invalid":          {skip: true, err: apierrors.NewInvalid(kind, c.name, nil)},
		"timeout, applied": {err: apierrors.NewTimeoutError("no answer in time", 1), late: 10 * time.Second},
	})
	return all
}

// consulErrors are answers of an agent, or the lack of one.
func consulErrors(c call) map[string]verdict {
	all := map[string]verdict{
		"timeout, not applied": {skip: true, err: consul.ErrUnanswered, late: consul.DefaultTimeout},
		"EOF":                  {skip: true, err: fmt.Errorf("%w: %w", consul.ErrUnanswered, io.EOF)},
		"403":                  {skip: true, err: consul.ErrForbidden},
		"429":                  {skip: true, err: errors.New("429 too many requests")},
		"500":                  {skip: true, err: errors.New("500 rpc error")},
		"no leader":            {skip: true, err: consul.ErrNoLeader},
		"unreachable":          {skip: true, err: consul.ErrUnreachable},
	}
	if c.effect {
		all["timeout, applied"] = verdict{err: consul.ErrUnanswered, late: consul.DefaultTimeout}
		all["EOF, applied"] = verdict{err: fmt.Errorf("%w: %w", consul.ErrUnanswered, io.EOF)}
	}
	return all
}

func errorsOf(c call) map[string]verdict {
	if c.kind == "Consul" {
		return consulErrors(c)
	}
	return kubernetesErrors(c)
}

// trial is one call that goes wrong in one way.
type trial struct {
	call placedCall
	name string
	verdict
}

func trials(b *baseline) []trial {
	var all []trial
	for _, c := range b.calls {
		possible := errorsOf(c.call)
		for _, name := range slices.Sorted(maps.Keys(possible)) {
			all = append(all, trial{c, name, possible[name]})
		}
	}
	return all
}

// Any call may fail, in any way, once: it comes to the same.
func TestEachErrorOfEachCall(t *testing.T) {
	for n, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			b := baselineOf(t, story)
			part, all := shareOf(20, n), trials(b)
			for i, one := range all {
				if part.has(i) {
					one.try(t, b)
				}
			}
			t.Logf("%d errors of %d calls, %s", len(all), len(b.calls), part)
		})
	}
}

// try lets one call go wrong.
func (e trial) try(t *testing.T, b *baseline) {
	t.Helper()
	n, done := 0, false
	o := b.compare(t, &b.checkpoints[e.call.checkpoint], settings{interfere: func(c call, _ int) verdict {
		if done || c != e.call.call {
			return verdict{}
		}
		if n++; n < e.call.n {
			return verdict{}
		}
		done = true
		return e.verdict
	}})
	count(o)
	what := fmt.Sprintf("call %d of its kind in pass %d, %s: %s", e.call.n, e.call.checkpoint+1, e.call, e.name)
	if !done {
		t.Errorf("%s: it is not made when told from a checkpoint\n%s", what, o.trace)
	}
	o.tally = b.tally
	expect(t, what, o, b)
}
