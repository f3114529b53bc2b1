package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilexec "k8s.io/client-go/util/exec"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// secret is a token that nothing but `token` may print.
const secret = "11111111-2222-3333-4444-555555555555"

// aPod is the pod of a server that was created some time ago.
func aPod(name string, age time.Duration, changes ...func(*corev1.Pod)) corev1.Pod {
	pod := corev1.Pod{}
	pod.Name, pod.Namespace, pod.CreationTimestamp = name, "default", *before(age)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{
		{Name: "sidecar"}, {Name: "consul", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, change := range changes {
		change(&pod)
	}
	return pod
}

func notReady(pod *corev1.Pod) { pod.Status.Conditions[0].Status = corev1.ConditionFalse }
func going(pod *corev1.Pod)    { pod.DeletionTimestamp = before(0) }
func crashed(pod *corev1.Pod) {
	pod.Status.ContainerStatuses[1].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
}

func TestWhichPod(t *testing.T) {
	c := healthy(func(*picture) {}).ConsulCluster // consul-4 leads
	for name, test := range map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"the leader": {[]corev1.Pod{aPod("consul-5", 1), aPod("consul-4", 3), aPod("consul-3", 2)}, "consul-4"},
		"the leader goes: the newest, which stays longest": {
			[]corev1.Pod{aPod("consul-5", 2), aPod("consul-4", 3, going), aPod("consul-6", 1)}, "consul-6",
		},
		"the leader is not ready":     {[]corev1.Pod{aPod("consul-3", 2), aPod("consul-4", 1, notReady)}, "consul-3"},
		"nobody is ready":             {[]corev1.Pod{aPod("consul-3", 2, notReady), aPod("consul-5", 1, notReady)}, "consul-5"},
		"not ready rather than going": {[]corev1.Pod{aPod("consul-3", 2, notReady), aPod("consul-4", 1, going)}, "consul-3"},
		"one that runs":               {[]corev1.Pod{aPod("consul-3", 2, going), aPod("consul-4", 1, crashed)}, "consul-3"},
		"of the same age, by name":    {[]corev1.Pod{aPod("consul-3", 1), aPod("consul-5", 1)}, "consul-5"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod, err := best(test.pods, c)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(pod.Name).To(Equal(test.want))
		})
	}
	g := NewWithT(t)
	_, err := best([]corev1.Pod{aPod("consul-4", 1, crashed)}, c)
	g.Expect(err).To(MatchError("no server of consul runs now; why, this says: kubectl consul explain consul -n default"))
	_, err = best(nil, c)
	g.Expect(err).To(HaveOccurred())
}

func TestAServerByName(t *testing.T) {
	g := NewWithT(t)
	pods := []corev1.Pod{aPod("consul-5", 1), aPod("consul-3", 2, notReady), aPod("consul-4", 3, crashed)}
	pod, err := named(pods, "consul-3")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pod.Name).To(Equal("consul-3"))
	_, err = named(pods, "consul-4")
	g.Expect(err).To(MatchError("server consul-4 does not run now; why, this says: kubectl describe pod consul-4 -n default"))
	_, err = named(pods, "consul-7")
	g.Expect(err).To(MatchError("there is no server consul-7; there are: consul-3, consul-4, consul-5"))
	_, err = named(nil, "consul-7")
	g.Expect(err).To(MatchError("there is no server consul-7; there are: -"))
}

func TestTheCommandIsBehindTheDash(t *testing.T) {
	for name, test := range map[string]struct {
		args         []string
		dash         int
		names, words []string
		says         string
	}{
		"without a cluster":   {[]string{"consul", "members"}, 0, []string{}, []string{"consul", "members"}, ""},
		"with a cluster":      {[]string{"blue", "consul", "-h"}, 1, []string{"blue"}, []string{"consul", "-h"}, ""},
		"without a dash":      {[]string{"consul", "members"}, -1, nil, nil, "say the command behind --"},
		"without a command":   {[]string{"blue"}, 1, nil, nil, "say the command behind --"},
		"with three clusters": {[]string{"a", "b", "c", "consul"}, 3, nil, nil, "one ConsulCluster at a time: a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			names, words, err := splitAtDash(test.args, test.dash)
			if test.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(test.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(names).To(Equal(test.names))
			g.Expect(words).To(Equal(test.words))
		})
	}
}

// The exit code of a command is passed on. It has said itself what went wrong.
func TestExitCodeOfACommand(t *testing.T) {
	g := NewWithT(t)
	g.Expect(passedOn(nil)).To(Succeed())
	ended := utilexec.CodeExitError{Err: errors.New("command terminated with exit code 2"), Code: 2}
	err := passedOn(fmt.Errorf("stream: %w", ended))
	g.Expect(err).To(Equal(&codedError{code: 2}))
	g.Expect(passedOn(errors.New("no such container"))).To(MatchError("no such container"))
}

func TestTheTokenInASecret(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	of := func(data map[string][]byte) *corev1.Secret {
		s := &corev1.Secret{Data: data}
		s.Name, s.Namespace = "consul-bootstrap-acl-token", "default"
		return s
	}
	for name, test := range map[string]struct {
		secret *corev1.Secret
		err    error
		says   string
	}{
		"it is there": {of(map[string][]byte{"token": []byte(secret)}), nil, ""},
		"it may not be read": {
			of(nil), apierrors.NewForbidden(secrets, "consul-bootstrap-acl-token", nil),
			"you may not read Secret consul-bootstrap-acl-token in namespace default",
		},
		"it is gone":    {of(nil), apierrors.NewNotFound(secrets, "consul-bootstrap-acl-token"), "docs/security.md#tokens"},
		"it is empty":   {of(map[string][]byte{"other": nil}), nil, "there is no token in Secret consul-bootstrap-acl-token"},
		"no connection": {of(nil), errors.New("connection refused"), "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			token, err := tokenIn(test.secret, test.err)
			if test.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(test.says)))
				g.Expect(token).To(BeEmpty())
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(token).To(Equal(secret))
		})
	}
}

func TestHowToLogIn(t *testing.T) {
	c := healthy(func(*picture) {}).ConsulCluster
	golden(t, "ui", greeting(c, "http://localhost:8500/ui", ""))
	golden(t, "ui-token", greeting(c, "http://localhost:8500/ui", secret))
	c.Status.ACLs = v1alpha1.ACLsOff
	golden(t, "ui-open", greeting(c, "http://localhost:9500/ui", ""))
}

// A port that somebody else has is told at once, and not when a person has opened the browser.
func TestAPortThatIsTaken(t *testing.T) {
	g := NewWithT(t)
	g.Expect(isFree(anyPort)).To(Succeed())
	taken := httptest.NewServer(nil)
	defer taken.Close()
	var port int
	_, err := fmt.Sscanf(taken.URL, "http://127.0.0.1:%d", &port)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(isFree(port)).To(MatchError(HaveSuffix("--port takes another one")))
}

// The token goes to Consul in a header, and is in no error.
func TestWhatConsulIsAsked(t *testing.T) {
	g := NewWithT(t)
	var asked *http.Request
	status := http.StatusOK
	consul := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.WriteHeader(status)
		_, _ = w.Write([]byte("Permission denied: token with AccessorID 'x' lacks permission 'acl:write'\n"))
	}))
	defer consul.Close()
	a := &api{server: "consul-4", token: secret}
	_, err := fmt.Sscanf(consul.URL, "http://127.0.0.1:%d", &a.tunnel.port)
	g.Expect(err).NotTo(HaveOccurred())

	answer, err := a.send(t.Context(), http.MethodPut, &body{strings.NewReader("data"), 4})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(answer.Close()).To(Succeed())
	g.Expect(asked.Method + " " + asked.RequestURI).To(Equal("PUT /v1/snapshot"))
	g.Expect(asked.Header.Get("X-Consul-Token")).To(Equal(secret))
	g.Expect(asked.ContentLength).To(BeEquivalentTo(4))

	status = http.StatusForbidden
	_, err = a.send(t.Context(), http.MethodGet, nil)
	g.Expect(err).To(MatchError("consul-4 refuses (403 Forbidden): Permission denied: token with AccessorID 'x' lacks permission " +
		"'acl:write'"))
	g.Expect(replaced(t.Context(), err)).To(MatchError(HaveSuffix("; nothing was changed")))
	status = http.StatusInternalServerError
	_, err = a.send(t.Context(), http.MethodPut, nil)
	g.Expect(replaced(t.Context(), err)).To(MatchError(ContainSubstring("may have been replaced")))
	consul.Close()
	_, err = a.send(t.Context(), http.MethodGet, nil)
	g.Expect(err).To(MatchError(HavePrefix("the connection to consul-4 broke: ")))
	g.Expect(err.Error()).NotTo(ContainSubstring(secret))
	stopped, stop := context.WithCancel(t.Context())
	stop()
	g.Expect(replaced(stopped, err)).To(MatchError(HavePrefix("interrupted: the data may have been replaced")))
	g.Expect(interrupted(stopped, err)).To(Equal(&codedError{code: exitInterrupted}))
}
