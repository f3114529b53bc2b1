package stack

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

// Any call may fail, in any way, once: it comes to the same.
func TestEachErrorOfEachCall(t *testing.T) {
	for _, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			b := baselineOf(t, story)
			for _, c := range b.sorts {
				for _, name := range slices.Sorted(maps.Keys(errorsOf(c))) {
					failOnce(t, b, c, name, errorsOf(c)[name])
				}
			}
		})
	}
}

// failOnce lets the first call of a sort go wrong.
func failOnce(t *testing.T, b *baseline, c call, name string, v verdict) {
	o := b.compare(t, &b.checkpoints[b.first[c.sort()]], settings{
		interfere: first(func(other call, _ int) bool { return other.sort() == c.sort() }, v),
	})
	count(o)
	o.tally = b.tally
	expect(t, fmt.Sprintf("%s: %s", c, name), o, b)
}

// first gives a verdict on the first call that is meant.
func first(is func(c call, effect int) bool, v verdict) interference {
	done := false
	return func(c call, effect int) verdict {
		if done || !is(c, effect) {
			return verdict{}
		}
		done = true
		return v
	}
}
