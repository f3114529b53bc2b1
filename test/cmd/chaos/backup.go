package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
)

const (
	// restoreKind is what a restore is called in reports.
	restoreKind = "restore of a snapshot"
	// longRun is how long a run has to be for a restore to be due: one is among the first cards.
	longRun = 3 * time.Minute
	// mostTries is how often the user asks for a restore until there is one.
	mostTries = 10
)

// backupName is that of the claim that snapshots are kept on, and of the Secret with the key to decrypt them.
const backupName = "chaos-backup"

// backups are the snapshots and restores that the user has asked for, and what became of them.
type backups struct {
	asked    int
	good     []good
	restores int
	restored int
}

// dead says that nothing was saved, or in a long run nothing restored: then that was not tried out.
func (b backups) dead(duration time.Duration) string {
	switch {
	case len(b.good) == 0:
		return fmt.Sprintf("none of %d snapshots was saved", b.asked)
	case duration >= longRun && b.restored == 0:
		return fmt.Sprintf("none of %d restores was done", b.restores)
	}
	return ""
}

// good is a snapshot that was saved: which one in the history, under which name, and when it began to be.
type good struct {
	number int
	name   string
	began  time.Time
}

// prepareBackups makes what snapshots need, and returns where they go.
func (c *chaos) prepareBackups(ctx context.Context) (v1alpha1.Snapshots, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return v1alpha1.Snapshots{}, err
	}
	of := metav1.ObjectMeta{Namespace: c.Key.Namespace, Name: backupName}
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: of, StringData: map[string]string{"key": identity.String()}},
		&corev1.PersistentVolumeClaim{ObjectMeta: of, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		}},
	} {
		if err := client.IgnoreAlreadyExists(c.Client.Create(ctx, object)); err != nil {
			return v1alpha1.Snapshots{}, err
		}
	}
	return v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{VolumeClaim: &v1alpha1.VolumeClaimDestination{Name: backupName}},
		Encryption: &v1alpha1.SnapshotEncryption{
			Recipients: []string{identity.Recipient().String()}, IdentitySecretRef: &v1alpha1.SecretKey{Name: backupName},
		},
	}, nil
}

// saveFirst takes a snapshot before there are faults. The older version has saved it, so it can always be restored.
func (f *faults) saveFirst(ctx context.Context) error {
	name, err := f.takeSnapshot(ctx)
	f.pending.Wait()
	f.say("snapshot before all faults: %s", name)
	return err
}

// mayTake reports whether the history has room for another snapshot.
func (f *faults) mayTake() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.backups.asked < mostSaved
}

// takeSnapshot asks for a snapshot, and takes down what becomes of it.
func (f *faults) takeSnapshot(ctx context.Context) (string, error) {
	f.mu.Lock()
	number := f.backups.asked
	f.backups.asked++
	f.mu.Unlock()
	s := &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: f.Key.Namespace, Name: fmt.Sprintf("chaos-%d", number)}}
	s.Spec.ClusterName = f.Key.Name
	began := time.Now()
	if err := f.Client.Create(ctx, s); err != nil {
		return "", err
	}
	f.follow(s, func() bool { return s.Status.CompletedAt != nil }, func() {
		if s.Status.Verified == "" {
			return // nothing was saved that could be restored
		}
		f.history.addOfAll(request{action: save, saved: number}, began, time.Now(), succeeded)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.backups.good = append(f.backups.good, good{number, s.Name, began})
	})
	return s.Name, nil
}

// mayRestore reports whether there is a snapshot, and no restore goes on.
func (f *faults) mayRestore() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.backups.good) > 0 && !f.inEffect[restoring]
}

// restoreSnapshot asks for a restore of any snapshot, and takes down what becomes of it.
func (f *faults) restoreSnapshot(ctx context.Context) (string, error) {
	f.mu.Lock()
	from := f.backups.good[f.random.IntN(len(f.backups.good))]
	f.mu.Unlock()
	return from.name, f.restoreFrom(ctx, from, mostTries)
}

// restoreFrom asks once more if nothing was restored: for the same snapshot if nobody knows what the servers have, since the
// cluster waits for that, and else for the first one.
func (f *faults) restoreFrom(ctx context.Context, from good, tries int) error {
	r := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{
		Namespace: f.Key.Namespace, Name: fmt.Sprintf("back-%d", time.Now().UnixMilli()),
	}}
	r.Spec = v1alpha1.ConsulRestoreSpec{ClusterName: f.Key.Name, From: v1alpha1.SnapshotSource{SnapshotName: from.name}}
	began := time.Now()
	if err := f.Client.Create(ctx, r); err != nil {
		return err
	}
	f.set(restoring, true)
	f.mu.Lock()
	f.backups.restores++
	f.mu.Unlock()
	f.follow(r, func() bool { return r.Status.RestoredAt != nil || r.Status.CompletedAt != nil }, func() {
		if again := f.restored(r, from, began); again.name != "" && tries > 1 {
			f.fail(f.restoreFrom(context.Background(), again, tries-1))
			return
		}
		f.set(restoring, false)
	})
	return nil
}

// restored takes down what became of a restore, and returns the snapshot that the user asks for next; none if it was restored.
func (f *faults) restored(r *v1alpha1.ConsulRestore, from good, began time.Time) (again good) {
	ended, outcome := time.Now(), succeeded
	if r.Status.RestoredAt == nil {
		outcome = unknown
		if ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			f.say("not restored: %s: %s: %s", from.name, ready.Reason, ready.Message)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if outcome == unknown && !r.Status.DataUnknown {
		return f.backups.good[0] // nothing was changed
	}
	f.history.addOfAll(request{action: restore, saved: from.number}, began, ended, outcome)
	f.Load.Rewound(from.began, ended)
	if outcome == unknown {
		return from
	}
	f.backups.restored++
	return good{}
}

// follow waits until an object says what became of it. It goes on when there are no more faults.
func (f *faults) follow(o client.Object, done func() bool, tell func()) {
	f.pending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
		defer cancel()
		err := await.Success(ctx, 100*time.Millisecond, func() error {
			if err := f.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			if !done() {
				return errors.New("it goes on")
			}
			return nil
		})
		if err != nil {
			f.fail(fmt.Errorf("%s %s: %w", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), err))
			return
		}
		tell()
	})
}
