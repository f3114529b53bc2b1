package virtualtime

import (
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/controllers"
)

// caughtUp is after what time a cache that is some writes behind has seen them all the same: reality hides no write for
// good.
const caughtUp = 1500 * time.Millisecond

// lag is how late a cache is.
type lag struct {
	// kinds that are late; nil for all. Informers know nothing of each other.
	kinds []string
	// writes is how many versions are not seen yet, for as long as caughtUp.
	writes int
	// by is how old a version is when it is seen.
	by time.Duration
	// every is how often the cache is brought up to date: what came and went in between is never seen.
	every time.Duration
	// restart is how many versions the cache of a new operator is behind the one before: it lists from an API server
	// that lags itself.
	restart int
}

// due is when the i-th of n versions is seen.
func (l lag) due(kind string, v version, i, n int) time.Time {
	if l.kinds != nil && !slices.Contains(l.kinds, kind) {
		return v.at
	}
	switch {
	case v.at.IsZero(): // it was there before the story began
		return v.at
	case l.by > 0:
		return v.at.Add(l.by)
	case l.every > 0:
		return v.at.Truncate(l.every).Add(l.every)
	case i >= n-l.writes:
		return v.at.Add(caughtUp)
	}
	return v.at
}

// cache is what an operator's informers have seen.
type cache struct {
	server *apiServer
	lag    lag
	seen   map[objectKey]client.Object
	// next is the first version of each kind that was not seen yet.
	next map[string]int
	// hold keeps versions from being seen before then.
	hold time.Time
}

// newCache is filled with what there is; after a restart perhaps with what there was before.
func newCache(server *apiServer, l lag, former *cache) *cache {
	c := &cache{server: server, lag: l, seen: map[objectKey]client.Object{}, next: map[string]int{}}
	for kind, history := range server.history {
		limit := len(history)
		if former != nil {
			limit = max(0, former.next[kind]-l.restart)
		}
		for c.next[kind] < limit {
			c.see(kind)
		}
	}
	if former != nil && l.restart > 0 {
		c.hold = time.Now().Add(caughtUp)
	}
	return c
}

// see takes in the next version of a kind.
func (c *cache) see(kind string) {
	v := c.server.history[kind][c.next[kind]]
	c.next[kind]++
	if v.object == nil {
		delete(c.seen, v.key)
	} else {
		c.seen[v.key] = kept(v.object)
	}
}

// transforms are those of the operator's cache, by kind.
var transforms = func() map[string]toolscache.TransformFunc {
	all := map[string]toolscache.TransformFunc{}
	for o, by := range controllers.Cache(nil).ByObject {
		all[kindOf(o)] = by.Transform
	}
	return all
}()

// kept is what the operator's cache keeps of an object.
func kept(o client.Object) client.Object {
	transform := transforms[kindOf(o)]
	if transform == nil {
		return o
	}
	stripped, err := transform(o)
	must(err)
	return stripped.(client.Object)
}

// wakes is what the controller's predicates say.
func wakes(old, now client.Object) bool {
	if old == nil && now == nil {
		return false
	}
	if _, ok := now.(*v1alpha1.ConsulCluster); !ok || old == nil {
		return true
	}
	return old.GetGeneration() != now.GetGeneration() || old.GetUID() != now.GetUID() ||
		!equality.Semantic.DeepEqual(old.GetAnnotations(), now.GetAnnotations())
}

// advance takes in what is due; it says whether that wakes the operator. What has come and gone at once, as when an informer
// lists anew, is an event that nobody sees.
func (c *cache) advance(now time.Time) bool {
	var before map[objectKey]client.Object
	for kind, history := range c.server.history {
		for !c.dueOf(kind).After(now) {
			key := history[c.next[kind]].key
			if _, noted := before[key]; !noted {
				if before == nil {
					before = map[objectKey]client.Object{}
				}
				before[key] = c.seen[key]
			}
			c.see(kind)
		}
	}
	for key, old := range before {
		if wakes(old, c.seen[key]) {
			return true
		}
	}
	return false
}

// never is later than any story.
var never = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// dueOf is when the next version of a kind is seen.
func (c *cache) dueOf(kind string) time.Time {
	history, i := c.server.history[kind], c.next[kind]
	if i == len(history) {
		return never
	}
	due := c.lag.due(kind, history[i], i, len(history))
	if due.Before(c.hold) {
		return c.hold
	}
	return due
}

// dueNext is when the next version of any kind is seen.
func (c *cache) dueNext() time.Time {
	earliest := never
	for kind := range c.server.history {
		if due := c.dueOf(kind); due.Before(earliest) {
			earliest = due
		}
	}
	return earliest
}

// sorted are the objects of a kind by name.
func sorted(objects map[objectKey]client.Object, kind string) []client.Object {
	var names []string
	for key := range maps.Keys(objects) {
		if key.kind == kind {
			names = append(names, key.name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	all := make([]client.Object, 0, len(names))
	for _, name := range names {
		all = append(all, objects[objectKey{kind, name}])
	}
	return all
}
