package localcluster

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// loop calls a function for each key that was put, one at a time, and again later when that failed.
type loop struct {
	name  string
	log   logr.Logger
	queue workqueue.TypedRateLimitingInterface[string]
	sync  func(ctx context.Context, key string) error
}

func newLoop(name string, log logr.Logger, sync func(context.Context, string) error) *loop {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](20*time.Millisecond, 5*time.Second)
	return &loop{name: name, log: log.WithName(name), queue: workqueue.NewTypedRateLimitingQueue(limiter), sync: sync}
}

func (l *loop) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()
	for {
		key, shutdown := l.queue.Get()
		if shutdown {
			return
		}
		if err := l.sync(ctx, key); err == nil {
			l.queue.Forget(key)
		} else if !errors.Is(err, context.Canceled) {
			l.log.V(1).Info("trying again", "key", key, "reason", err.Error())
			l.queue.AddRateLimited(key)
		}
		l.queue.Done(key)
	}
}

// put adds the object's namespace/name.
func (l *loop) put(obj any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
		l.queue.Add(key)
	}
}

// onChange calls f with each object that appears, changes or goes.
func onChange(informer cache.SharedIndexInformer, f func(obj any)) {
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{ // fails only on a stopped informer
		AddFunc:    f,
		UpdateFunc: func(_, obj any) { f(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			f(obj)
		},
	})
}
