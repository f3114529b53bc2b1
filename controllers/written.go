package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// forgetAfter is for a version that never comes, such as that of an API server whose data was restored from a backup.
const forgetAfter = 10 * time.Second

// written remembers what was written last to the status of each cluster, until the cache has it. A pass that compares what it has
// to tell with an older status may find nothing to write, and if it finds nothing else to do, nothing wakes the next one. The
// zero value is ready to use.
type written struct {
	mutex sync.Mutex
	last  map[types.NamespacedName]write
}

type write struct {
	version string
	at      time.Time
}

// note takes note of a write, by the resource version that the API server has given to it.
func (w *written) note(cluster client.Object, now time.Time) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.last == nil {
		w.last = map[types.NamespacedName]write{}
	}
	w.last[client.ObjectKeyFromObject(cluster)] = write{cluster.GetResourceVersion(), now}
}

// untilSeen is when to look again whether the cache has what was written; 0 if it does. A cache that is late is asked less often.
func (w *written) untilSeen(cached client.Object, now time.Time) time.Duration {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	key := client.ObjectKeyFromObject(cached)
	last, noted := w.last[key]
	if !noted {
		return 0
	}
	compared, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), last.version)
	if late := now.Sub(last.at); err == nil && compared < 0 && late < forgetAfter {
		return max(requeueSoon, late/4)
	}
	delete(w.last, key)
	return 0
}

// forget is for a cluster that is gone.
func (w *written) forget(cluster types.NamespacedName) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.last, cluster)
}
