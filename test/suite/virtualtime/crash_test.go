package virtualtime

import (
	"fmt"
	"testing"
	"time"

	"github.com/consul-operator/consul-operator/internal/consul"
)

// An operator may die at any moment. Another one goes on a second later, and nothing comes of it.
func TestDeathAtEachEffect(t *testing.T) {
	for n, story := range scenarios() {
		for i, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, applied %t", story.name, applied), func(t *testing.T) {
				t.Parallel()
				atEachEffect(t, baselineOf(t, story), n+i, settings{downtime: time.Second}, func(call) verdict {
					return verdict{kill: true, skip: !applied}
				})
			})
		}
	}
}

// It may take long until another operator leads. Servers that have left start again meanwhile, and join again.
func TestLongDeathAtEachEffect(t *testing.T) {
	for n, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			atEachEffect(t, baselineOf(t, story), n+2, settings{downtime: 20 * time.Second}, func(call) verdict {
				return verdict{kill: true}
			})
		})
	}
}

// An operator that starts anew may see what was before what the one before it has seen.
func TestBackInTimeAfterADeath(t *testing.T) {
	for n, story := range scenarios() {
		for i, versions := range []int{2, 8} {
			t.Run(fmt.Sprintf("%s, by %d versions of each kind", story.name, versions), func(t *testing.T) {
				t.Parallel()
				late := settings{downtime: time.Second, lag: lag{restart: versions}}
				atEachEffect(t, baselineOf(t, story), n+3+i, late, func(call) verdict { return verdict{kill: true} })
			})
		}
	}
}

// An effect may have been applied and its answer be lost.
func TestLostAnswerOfEachEffect(t *testing.T) {
	for n, story := range scenarios() {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			atEachEffect(t, baselineOf(t, story), n+5, settings{}, func(c call) verdict {
				if c.kind == "Consul" {
					return verdict{err: consul.ErrUnanswered, late: consul.DefaultTimeout}
				}
				return kubernetesErrors(c)["timeout, applied"]
			})
		})
	}
}

// atEachEffect tells a story again and again, each time with trouble at another one of its effects, of which a part is chosen.
func atEachEffect(t *testing.T, b *baseline, shift int, s settings, trouble func(call) verdict) {
	t.Helper()
	part := shareOf(5, shift)
	for k, effect := range b.effects {
		if !part.has(k) {
			continue
		}
		k++
		var met call
		s.interfere = func(c call, n int) verdict {
			if n != k || !c.effect || met.effect {
				return verdict{}
			}
			met = c
			return trouble(c)
		}
		o := b.compare(t, b.before(k), s)
		count(o)
		what := fmt.Sprintf("trouble at effect %d, %s", k, effect)
		if met != effect {
			t.Errorf("%s: it is %s when told from a checkpoint\n%s", what, met, o.trace)
		}
		expect(t, what, o, b)
	}
	t.Logf("%d effects, %s", len(b.effects), part)
}
