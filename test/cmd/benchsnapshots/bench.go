package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/hashicorp/consul/api"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/await"
	"github.com/consul-operator/consul-operator/test/lib/harness"
	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

const (
	namespace  = metav1.NamespaceDefault
	startLimit = 5 * time.Minute
	taskLimit  = 30 * time.Minute
	// valueSize is that of each key: Consul takes 512 KiB at most.
	valueSize = 256 << 10
	// writers is how many keys are written at a time.
	writers = 8
)

// result is what was measured of one size.
type result struct {
	size                              int // of the KV store, in MiB
	saved                             v1alpha1.ConsulSnapshotStatus
	save, verify, restore, begun      time.Duration
	savePeak, verifyPeak, restorePeak int // bytes
}

type bench struct {
	options
	out       io.Writer
	env       *harness.Env
	store     *objectstore.Store
	snapshots v1alpha1.Snapshots
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, "      "+format+"\n", args...) }

func (b *bench) start(ctx context.Context) error {
	if err := harness.CheckPrograms("consul-"+b.consul, "versitygw"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var err error
	b.env, err = harness.Start(ctx, harness.Options{Name: "bench-snapshots", Progress: func(text string) { b.say("%s", text) }})
	if err != nil {
		return err
	}
	if err := b.startStore(ctx); err != nil {
		return errors.Join(err, b.env.Stop())
	}
	return nil
}

// startStore starts the object store, and makes the Secrets by which Jobs use it.
func (b *bench) startStore(ctx context.Context) error {
	root, err := harness.Root()
	if err != nil {
		return err
	}
	if b.store, err = objectstore.Start(ctx, filepath.Join(root, "bin"), filepath.Join(b.env.Dir, "store"), "backups"); err != nil {
		return err
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	for name, data := range map[string]map[string]string{
		"store": {"accessKeyId": objectstore.AccessKeyID, "secretAccessKey": objectstore.SecretAccessKey},
		"age":   {"key": identity.String()},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: data}
		if err := b.env.Client.Create(ctx, secret); err != nil {
			return err
		}
	}
	b.snapshots = v1alpha1.Snapshots{
		Destination: &v1alpha1.SnapshotDestination{S3: &v1alpha1.S3Destination{
			Bucket: "backups", Endpoint: b.store.URL, PathStyle: true, CredentialsSecretRef: &v1alpha1.SecretName{Name: "store"},
		}},
		Encryption: &v1alpha1.SnapshotEncryption{
			Recipients: []string{identity.Recipient().String()}, IdentitySecretRef: &v1alpha1.SecretKey{Name: "age"},
		},
	}
	return nil
}

func (b *bench) close() {
	b.store.Stop()
	if err := b.env.Stop(); err != nil {
		b.say("stopping the local cluster: %v", err)
	}
}

// measure does all that is measured with a cluster of one size.
func (b *bench) measure(ctx context.Context, size int) (r result, err error) {
	fmt.Fprintf(b.out, "\n%d MiB\n", size)
	r.size = size
	name := fmt.Sprintf("of-%d", size)
	scene, err := b.create(ctx, name, v1alpha1.Bootstrap{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.remove(ctx, scene)) }()
	if err := b.fill(ctx, scene, size); err != nil {
		return r, err
	}
	if r.saved, r.save, r.savePeak, err = b.take(ctx, scene, "save", v1alpha1.VerifyArchive); err != nil {
		return r, err
	}
	b.say("saved after %s", r.save)
	if _, r.verify, r.verifyPeak, err = b.take(ctx, scene, "verify", v1alpha1.VerifyRestore); err != nil {
		return r, err
	}
	b.say("saved and verified by a restore after %s", r.verify)
	if r.restore, r.restorePeak, err = b.restore(ctx, scene, name+"-save"); err != nil {
		return r, err
	}
	b.say("restored after %s", r.restore)
	began := time.Now()
	another, err := b.create(ctx, name+"-new", v1alpha1.Bootstrap{FromSnapshot: &v1alpha1.SnapshotSource{Object: r.saved.Object}})
	if err != nil {
		return r, err
	}
	r.begun = time.Since(began)
	b.say("a new cluster has it after %s", r.begun)
	return r, b.remove(ctx, another)
}

// create makes a cluster, and waits until it is Ready.
func (b *bench) create(ctx context.Context, name string, bootstrap v1alpha1.Bootstrap) (*harness.Scene, error) {
	scene := b.env.Scene(client.ObjectKey{Namespace: namespace, Name: name})
	c := &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ConsulClusterSpec{
			Version: b.consul, Storage: v1alpha1.Storage{Size: resource.MustParse("10Gi")}, Snapshots: b.snapshots, Bootstrap: bootstrap,
		},
	}
	if err := scene.Create(ctx, c); err != nil {
		return nil, err
	}
	return scene, scene.WaitReady(ctx, taskLimit, nil)
}

func (b *bench) remove(ctx context.Context, scene *harness.Scene) error {
	c, err := scene.Get(ctx)
	if err == nil {
		err = b.env.Client.Delete(ctx, c)
	}
	return err
}

// fill writes keys that nothing compresses.
func (b *bench) fill(ctx context.Context, scene *harness.Scene, size int) error {
	access, err := scene.Access(ctx)
	if err != nil {
		return err
	}
	if err := scene.Authenticate(ctx); err != nil {
		return err
	}
	c, err := scene.Get(ctx)
	if err != nil {
		return err
	}
	agent, err := access.Agent(access.At(c.Status.Servers[0].Address), time.Minute)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range size << 20 / valueSize {
		group.Go(func() error {
			value := make([]byte, valueSize)
			_, _ = rand.Read(value) // never fails
			return await.Success(ctx, time.Second, func() error {
				_, err := agent.KV().Put(&api.KVPair{Key: fmt.Sprintf("state/%d", i), Value: value}, nil)
				return err
			})
		})
	}
	return group.Wait()
}

// take takes a snapshot, and returns how long that took and the memory of its Job.
func (b *bench) take(
	ctx context.Context, scene *harness.Scene, what string, verify v1alpha1.SnapshotVerification,
) (status v1alpha1.ConsulSnapshotStatus, took time.Duration, peak int, err error) {
	s := &v1alpha1.ConsulSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: scene.Key.Name + "-" + what}}
	s.Spec = v1alpha1.ConsulSnapshotSpec{ClusterName: scene.Key.Name, Verify: verify}
	took, peak, err = b.do(ctx, s, func() []metav1.Condition { return s.Status.Conditions })
	return s.Status, took, peak, err
}

// restore restores a snapshot into the cluster that runs.
func (b *bench) restore(ctx context.Context, scene *harness.Scene, from string) (took time.Duration, peak int, err error) {
	r := &v1alpha1.ConsulRestore{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: scene.Key.Name + "-back"}}
	r.Spec = v1alpha1.ConsulRestoreSpec{
		ClusterName: scene.Key.Name, From: v1alpha1.SnapshotSource{SnapshotName: from}, SkipSnapshot: true,
	}
	return b.do(ctx, r, func() []metav1.Condition { return r.Status.Conditions })
}

// do creates an object, and waits until it is Ready.
func (b *bench) do(ctx context.Context, o client.Object, conditions func() []metav1.Condition) (time.Duration, int, error) {
	ctx, cancel := context.WithTimeout(ctx, taskLimit)
	defer cancel()
	watched, stop := context.WithCancel(ctx)
	peak := make(chan int, 1)
	go func() { peak <- b.peakMemory(watched) }()
	began := time.Now()
	err := b.env.Client.Create(ctx, o)
	if err == nil {
		err = await.Success(ctx, 50*time.Millisecond, func() error {
			if err := b.env.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			ready := meta.FindStatusCondition(conditions(), v1alpha1.ConditionReady)
			if ready == nil || ready.Status != metav1.ConditionTrue {
				return fmt.Errorf("%s is not ready: %v", o.GetName(), ready)
			}
			return nil
		})
	}
	took := time.Since(began)
	stop()
	return took, <-peak, err
}
