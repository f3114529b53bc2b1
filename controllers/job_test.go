package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/backup"
	"github.com/consul-operator/consul-operator/internal/snapshot"
)

// ownerUID is that of the ConsulSnapshot today, and todaysJob its Job.
const ownerUID = types.UID("ours")

var todaysJob = client.ObjectKey{Namespace: "default", Name: "today-save"}

func minutesAgo(n int) metav1.Time {
	return metav1.NewTime(time.Now().Add(-time.Duration(n) * time.Minute).Truncate(time.Second))
}

// aJob is the Job of the ConsulSnapshot today, after changes. It was created ten minutes ago.
func aJob(changes ...func(*batchv1.Job)) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: todaysJob.Name, Namespace: todaysJob.Namespace, UID: "job", CreationTimestamp: minutesAgo(10),
		Annotations: map[string]string{v1alpha1.AnnotationStore: "s3://backups", v1alpha1.AnnotationObjects: "a.snap b.snap"},
	}}
	ofOwner("ConsulSnapshot", ownerUID)(job)
	for _, change := range changes {
		change(job)
	}
	return job
}

func ofOwner(kind string, uid types.UID) func(*batchv1.Job) {
	return func(job *batchv1.Job) {
		job.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "x/v1", Kind: kind, Name: "today", UID: uid, Controller: new(true)},
		}
	}
}

func ofNobody(job *batchv1.Job) { job.OwnerReferences = nil }

// created is a Job that was created a moment ago. A test may be slow.
func created(job *batchv1.Job) { job.CreationTimestamp = minutesAgo(-5) }

func ended(how batchv1.JobConditionType, message string) func(*batchv1.Job) {
	return func(job *batchv1.Job) {
		job.Status.Conditions = []batchv1.JobCondition{
			{Type: batchv1.JobSuspended, Status: corev1.ConditionFalse},
			{Type: how, Status: corev1.ConditionTrue, Message: message, LastTransitionTime: minutesAgo(1)},
		}
	}
}

// aPod is a pod of the Job today-save that was created so many minutes ago.
func aPod(name string, minutes int, phase corev1.PodPhase, changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID("pod-" + name), CreationTimestamp: minutesAgo(minutes),
			Labels:          map[string]string{batchv1.JobNameLabel: todaysJob.Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "x", UID: "job", Controller: new(true)}},
		},
		Status: corev1.PodStatus{Phase: phase},
	}
	for _, change := range changes {
		change(pod)
	}
	return pod
}

// aSave is one with a single container, that saves.
func aSave(phase corev1.PodPhase, state corev1.ContainerState) *corev1.Pod {
	return aPod("a", 9, phase, container("save", state))
}

func container(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

// first is a container that runs before another one.
func first(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

func runs() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
}

func waits(why, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: why, Message: message}}
}

func terminated(code int32, why, left string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: why, Message: left}}
}

// warned is an event about an object so many minutes ago.
func warned(about types.UID, minutes int, kind, why, message string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: why + "." + string(about), Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{UID: about}, Type: kind, Reason: why, Message: message,
		LastTimestamp: minutesAgo(minutes),
	}
}

// eventIndexes are the fields by which the API server selects events.
func eventIndexes(builder *fake.ClientBuilder) *fake.ClientBuilder {
	return builder.
		WithIndex(&corev1.Event{}, "type", func(o client.Object) []string { return []string{o.(*corev1.Event).Type} }).
		WithIndex(&corev1.Event{}, "involvedObject.uid", func(o client.Object) []string {
			return []string{string(o.(*corev1.Event).InvolvedObject.UID)}
		})
}

func TestWhatIsKnownOfAJob(t *testing.T) {
	objects := func(all ...client.Object) []client.Object { return all }
	refused := `{"reason":"StoreRefuses","message":"no such bucket"}`
	unreached := `{"reason":"StoreUnreachable","message":"timeout"}`
	outcome := snapshot.Outcome{Reason: reason.StoreRefuses, Message: "no such bucket"}
	trouble := snapshot.Outcome{Reason: reason.StoreUnreachable, Message: "timeout"}
	nothing := map[string]snapshot.Outcome{}
	const failure, code1 = "a pod has failed", "a pod has failed; container save ended with code 1 (Error)"
	again := aPod("a", 8, corev1.PodFailed, container("save", terminated(3, "Error", unreached)))
	for name, test := range map[string]struct {
		there []client.Object
		known backup.Job // without its name, times, and what is on the Job itself
	}{
		"there is none":           {nil, backup.Job{}},
		"of somebody else":        {objects(aJob(ofOwner("CronJob", "theirs"))), backup.Job{Taken: "CronJob today"}},
		"of a former one":         {objects(aJob(ofOwner("ConsulSnapshot", "former"))), backup.Job{Taken: "ConsulSnapshot today"}},
		"of nobody":               {objects(aJob(ofNobody)), backup.Job{Taken: "no controller"}},
		"it has no pod yet":       {objects(aJob(created)), backup.Job{Exists: true}},
		"it has none, and no why": {objects(aJob()), backup.Job{Exists: true}},
		"no pod may be created": {
			objects(aJob(), warned("job", 2, "Warning", "FailedCreate", "exceeded quota")),
			backup.Job{Exists: true, Waiting: "FailedCreate: exceeded quota"},
		},
		"it is too early to say so": {
			objects(aJob(created), warned("job", 0, "Warning", "FailedCreate", "exceeded quota")), backup.Job{Exists: true},
		},
		"a pod of another one": {
			objects(aJob(), aPod("a", 9, corev1.PodRunning, func(pod *corev1.Pod) { pod.OwnerReferences[0].UID = "former" })),
			backup.Job{Exists: true},
		},
		"it runs": {
			objects(aJob(), aSave(corev1.PodRunning, runs())), backup.Job{Exists: true, Outcomes: nothing},
		},
		"it runs where an event had warned": {
			objects(aJob(), aSave(corev1.PodRunning, runs()), warned("pod-a", 8, "Warning", "Late", "it was")),
			backup.Job{Exists: true, Outcomes: nothing},
		},
		"it is complete": {
			objects(aJob(ended(batchv1.JobComplete, "")),
				aPod("a", 9, corev1.PodSucceeded, first("save", terminated(0, "Completed", `{"index":7,"size":3}`)),
					container("verify", terminated(0, "Completed", `{}`)))),
			backup.Job{Exists: true, Finished: true, Succeeded: true, Outcomes: map[string]snapshot.Outcome{
				"save": {Index: 7, Size: 3}, "verify": {},
			}},
		},
		"it is complete, and its pod is gone": {
			objects(aJob(ended(batchv1.JobComplete, "")), warned("job", 9, "Warning", "FailedCreate", "exceeded quota")),
			backup.Job{Exists: true, Finished: true, Succeeded: true},
		},
		"it has failed": {
			objects(aJob(ended(batchv1.JobFailed, failure)),
				aPod("a", 9, corev1.PodFailed, first("save", terminated(1, "Error", refused)),
					container("verify", waits("PodInitializing", "")))),
			backup.Job{
				Exists: true, Finished: true, Failure: code1, Trouble: &outcome, Outcomes: map[string]snapshot.Outcome{"save": outcome},
			},
		},
		"it has failed, and left nothing": {
			objects(aJob(ended(batchv1.JobFailed, failure)), aSave(corev1.PodFailed, terminated(137, "OOMKilled", ""))),
			backup.Job{
				Exists: true, Finished: true, Failure: failure + "; container save ended with code 137 (OOMKilled)", Outcomes: nothing,
			},
		},
		"it has failed, and left no outcome": {
			objects(aJob(ended(batchv1.JobFailed, failure)), aSave(corev1.PodFailed, terminated(1, "Error", "panic:"))),
			backup.Job{Exists: true, Finished: true, Failure: code1, Outcomes: nothing},
		},
		"it has failed, and its pod is gone": {
			objects(aJob(ended(batchv1.JobFailed, failure)), warned("job", 9, "Warning", "BackoffLimitExceeded", "x")),
			backup.Job{Exists: true, Finished: true, Failure: failure},
		},
		"it has failed, and its pod never ran": {
			objects(aJob(ended(batchv1.JobFailed, "too late")), aSave(corev1.PodPending, waits("ErrImagePull", "x"))),
			backup.Job{Exists: true, Finished: true, Failure: "too late", NeverRan: true, Waiting: "ErrImagePull: x", Outcomes: nothing},
		},
		"it tries again": {
			objects(aJob(), again, aPod("b", 7, corev1.PodRunning, container("save", runs()))),
			backup.Job{Exists: true, Outcomes: nothing, Trouble: &trouble},
		},
		"it tries again, after another failure": {
			objects(aJob(), aPod("c", 6, corev1.PodRunning, container("save", runs())), again,
				aPod("b", 7, corev1.PodFailed, container("save", terminated(3, "Error", refused)))),
			backup.Job{Exists: true, Outcomes: nothing, Trouble: &outcome},
		},
		"the last one that failed left nothing": {
			objects(aJob(), again, aPod("b", 7, corev1.PodFailed, container("save", terminated(137, "OOMKilled", ""))),
				aPod("c", 6, corev1.PodRunning, container("save", runs()))),
			backup.Job{Exists: true, Outcomes: nothing},
		},
		"it succeeded at last": {
			objects(aJob(ended(batchv1.JobComplete, "")), again,
				aPod("b", 7, corev1.PodSucceeded, container("save", terminated(0, "", `{"index":7}`)))),
			backup.Job{
				Exists: true, Finished: true, Succeeded: true, Trouble: &trouble, Outcomes: map[string]snapshot.Outcome{"save": {Index: 7}},
			},
		},
		"what Kubernetes does not say is not so": {
			objects(aJob(ended(batchv1.JobFailed, failure), func(job *batchv1.Job) {
				job.Status.Conditions[1].Status = corev1.ConditionFalse
			}), aSave(corev1.PodRunning, runs())),
			backup.Job{Exists: true, Outcomes: nothing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := eventIndexes(fake.NewClientBuilder().WithObjects(test.there...)).Build()
			known, err := jobs{server, server}.read(t.Context(), todaysJob, ownerUID)
			g.Expect(err).NotTo(HaveOccurred())
			if known.Exists {
				g.Expect(known.StartedAt.Equal(test.there[0].GetCreationTimestamp().Time)).To(BeTrue())
				test.known.Store, test.known.Objects = "s3://backups", []string{"a.snap", "b.snap"}
			}
			g.Expect(known.FinishedAt.IsZero()).To(Equal(!known.Finished))
			known.StartedAt, known.FinishedAt, test.known.Name = time.Time{}, time.Time{}, todaysJob.Name
			g.Expect(known).To(Equal(test.known))
		})
	}
}

// People are told why a pod does not run, unless it is only starting.
func TestWhatAPodWaitsFor(t *testing.T) {
	starts := container("save", waits("ContainerCreating", ""))
	events := func(all ...*corev1.Event) []*corev1.Event { return all }
	seen := func(event *corev1.Event, change func(*corev1.Event)) *corev1.Event {
		event.LastTimestamp = metav1.Time{}
		change(event)
		return event
	}
	unscheduled := func(pod *corev1.Pod) {
		pod.Status.Conditions = []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"},
		}
	}
	for name, test := range map[string]struct {
		pod    *corev1.Pod
		events []*corev1.Event
		waits  string
	}{
		"it starts":               {aPod("a", 9, corev1.PodPending, starts), nil, ""},
		"it has no node":          {aPod("a", 9, corev1.PodPending, unscheduled), nil, "0/3 nodes are available"},
		"it has had none for 2 s": {aPod("a", -5, corev1.PodPending, unscheduled), nil, "0/3 nodes are available"},
		"its image cannot be had": {aSave(corev1.PodPending, waits("ErrImagePull", "x")), nil, "ErrImagePull: x"},
		"nobody says more":        {aSave(corev1.PodPending, waits("InvalidImageName", "")), nil, "InvalidImageName"},
		"the image of a first one": {
			aPod("a", 9, corev1.PodPending, first("install", waits("ErrImagePull", "x")), starts), nil, "ErrImagePull: x",
		},
		"a Secret is missing": {
			aPod("a", 1, corev1.PodPending, starts), events(warned("pod-a", 0, "Warning", "FailedMount", "none")), "FailedMount: none",
		},
		"it was just created": {
			aPod("a", -5, corev1.PodPending, starts), events(warned("pod-a", 0, "Warning", "FailedMount", "none")), "",
		},
		"it is no warning": {
			aPod("a", 1, corev1.PodPending, starts), events(warned("pod-a", 0, "Normal", "Pulling", "x")), "",
		},
		"it is about something else": {
			aPod("a", 1, corev1.PodPending, starts), events(warned("job", 0, "Warning", "FailedCreate", "x")), "",
		},
		"the last one counts": {
			aPod("a", 9, corev1.PodPending, starts),
			events(warned("pod-a", 1, "Warning", "FailedMount", "none"), warned("pod-a", 5, "Warning", "FailedScheduling", "full")),
			"FailedMount: none",
		},
		"one that is seen again and again": {
			aPod("a", 9, corev1.PodPending, starts),
			events(warned("pod-a", 2, "Warning", "FailedMount", "none"), seen(warned("pod-a", 5, "Warning", "FailedScheduling", "full"),
				func(e *corev1.Event) {
					e.Series = &corev1.EventSeries{LastObservedTime: metav1.MicroTime(minutesAgo(1))}
				})),
			"FailedScheduling: full",
		},
		"one that is written in the new way": {
			aPod("a", 9, corev1.PodPending, starts),
			events(warned("pod-a", 2, "Warning", "FailedMount", "none"), seen(warned("pod-a", 5, "Warning", "FailedScheduling", "full"),
				func(e *corev1.Event) { e.EventTime = metav1.MicroTime(minutesAgo(1)) })),
			"FailedScheduling: full",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			builder := eventIndexes(fake.NewClientBuilder().WithObjects(aJob(), test.pod))
			for _, event := range test.events {
				builder = builder.WithObjects(event)
			}
			server := builder.Build()
			known, err := jobs{server, server}.read(t.Context(), todaysJob, ownerUID)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(known.Waiting).To(Equal(test.waits))
			g.Expect(known.NeverRan).To(BeTrue())
		})
	}
}

// What cannot be read is not an answer.
func TestAJobThatCannotBeRead(t *testing.T) {
	g := NewWithT(t)
	fails := errors.New("not today")
	server := fake.NewClientBuilder().WithObjects(aJob()).Build()
	live := interceptor.NewClient(server, interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return fails
		},
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return fails },
	})
	_, err := jobs{server, live}.read(t.Context(), todaysJob, ownerUID)
	g.Expect(err).To(MatchError(fails), "its pods")
	_, err = jobs{live, server}.read(t.Context(), todaysJob, ownerUID)
	g.Expect(err).To(MatchError(fails), "the Job")
}

func TestAJobIsCreatedOnce(t *testing.T) {
	kind := schema.GroupResource{Group: "batch", Resource: "jobs"}
	exists := apierrors.NewAlreadyExists(kind, todaysJob.Name)
	forbidden := apierrors.NewForbidden(kind, todaysJob.Name, errors.New("exceeded quota"))
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, todaysJob.Name, nil)
	busy := apierrors.NewTooManyRequests("later", 1)
	for name, test := range map[string]struct {
		fails error
		there *batchv1.Job
		known backup.Job
		err   error
	}{
		"it is created":             {},
		"it is there":               {fails: exists, there: aJob()},
		"it was there a moment ago": {fails: exists},
		"somebody else's is there": {
			fails: exists, there: aJob(ofOwner("CronJob", "theirs")), known: backup.Job{Taken: "CronJob today"},
		},
		"nobody's is there":          {fails: exists, there: aJob(ofNobody), known: backup.Job{Taken: "no controller"}},
		"a quota is exceeded":        {fails: forbidden, known: backup.Job{Refused: "the API server refuses it: " + forbidden.Error()}},
		"a policy does not allow it": {fails: invalid, known: backup.Job{Refused: "the API server refuses it: " + invalid.Error()}},
		"it may be created later":    {fails: busy, err: busy},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			builder := fake.NewClientBuilder()
			if test.there != nil {
				builder = builder.WithObjects(test.there)
			}
			server := builder.Build()
			stale := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{ // the cache has none
				Create: func(ctx context.Context, _ client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					if test.fails != nil {
						return test.fails
					}
					return server.Create(ctx, o, opts...)
				},
			})
			known, err := jobs{stale, server}.create(t.Context(), aJob(), ownerUID)
			if test.err != nil {
				g.Expect(err).To(MatchError(test.err))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			test.known.Name = todaysJob.Name
			g.Expect(known).To(Equal(test.known))
			err = server.Get(t.Context(), todaysJob, &batchv1.Job{})
			g.Expect(err == nil).To(Equal(test.fails == nil || test.there != nil))
		})
	}
}

func TestJobsThatAreEnded(t *testing.T) {
	for name, test := range map[string]struct {
		job   *batchv1.Job
		stays bool
	}{
		"its own":            {aJob(), false},
		"somebody else's":    {aJob(ofOwner("CronJob", "theirs")), true},
		"that of former one": {aJob(ofOwner("ConsulSnapshot", "former")), true},
		"nobody's":           {aJob(ofNobody), true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var deletes []client.DeleteOptions
			server := fake.NewClientBuilder().WithObjects(test.job).WithInterceptorFuncs(interceptor.Funcs{
				Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
					options := client.DeleteOptions{}
					deletes = append(deletes, *options.ApplyOptions(opts))
					return c.Delete(ctx, o, opts...)
				},
			}).Build()
			for range 2 { // there is none any more, which is as good
				g.Expect(jobs{server, server}.end(t.Context(), todaysJob, ownerUID)).To(Succeed())
			}
			err := server.Get(t.Context(), todaysJob, &batchv1.Job{})
			g.Expect(err == nil).To(Equal(test.stays))
			if test.stays {
				g.Expect(deletes).To(BeEmpty())
				return
			}
			g.Expect(deletes).To(HaveLen(1))
			g.Expect(*deletes[0].Preconditions.UID).To(Equal(types.UID("job")), "not one that took its name since")
			g.Expect(*deletes[0].PropagationPolicy).To(Equal(metav1.DeletePropagationBackground), "its pods go as well")
		})
	}
}

// The logs of a Job that has failed stay for longer.
func TestJobsThatExpire(t *testing.T) {
	expires := func(job *batchv1.Job) { job.Spec.TTLSecondsAfterFinished = new(int32(7)) }
	for name, test := range map[string]struct {
		job   *batchv1.Job
		after *int32
	}{
		"it is complete":        {aJob(ended(batchv1.JobComplete, "")), new(int32(3600))},
		"it has failed":         {aJob(ended(batchv1.JobFailed, "")), new(int32(24 * 3600))},
		"it expires already":    {aJob(ended(batchv1.JobFailed, ""), expires), new(int32(7))},
		"it is somebody else's": {aJob(ended(batchv1.JobComplete, ""), ofOwner("CronJob", "theirs")), nil},
		"it is nobody's":        {aJob(ended(batchv1.JobComplete, ""), ofNobody), nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := fake.NewClientBuilder().WithObjects(test.job).Build()
			g.Expect(jobs{server, server}.expire(t.Context(), todaysJob, ownerUID)).To(Succeed())
			job := &batchv1.Job{}
			g.Expect(server.Get(t.Context(), todaysJob, job)).To(Succeed())
			g.Expect(job.Spec.TTLSecondsAfterFinished).To(Equal(test.after))
		})
	}
	server := fake.NewClientBuilder().Build()
	NewWithT(t).Expect(jobs{server, server}.expire(t.Context(), todaysJob, ownerUID)).To(Succeed(), "there is none")
}

// A pod is pending as long as its init containers run, and an earlier warning says nothing of that; why the last one failed is
// said until the next one has started.
func TestAPodWhoseFirstContainersRun(t *testing.T) {
	saves := aPod("b", 7, corev1.PodPending, first("install", terminated(0, "Completed", "")), first("save", runs()),
		container("verify", waits("PodInitializing", "")))
	for name, pods := range map[string][]*corev1.Pod{
		"save runs first": {saves},
		"tries again": {saves,
			aPod("a", 8, corev1.PodFailed, container("save", terminated(3, "Error", `{"reason":"StoreUnreachable"}`)))},
		"starts again": {aPod("b", 7, corev1.PodPending, container("save", waits("ContainerCreating", ""))),
			aPod("a", 8, corev1.PodFailed, container("save", terminated(3, "Error", `{"reason":"StoreUnreachable"}`)))},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			builder := eventIndexes(fake.NewClientBuilder().WithObjects(aJob()))
			for _, pod := range pods {
				builder = builder.WithObjects(pod)
			}
			if len(pods[0].Status.InitContainerStatuses) > 0 {
				builder = builder.WithObjects(warned("pod-b", 7, "Warning", "FailedAttachVolume", "Multi-Attach"))
			}
			server := builder.Build()
			var known backup.Job
			known, err := jobs{server, server}.read(t.Context(), todaysJob, ownerUID)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(known.Waiting).To(BeEmpty())
			g.Expect(known.Trouble != nil).To(Equal(len(pods) > 1))
		})
	}
}
