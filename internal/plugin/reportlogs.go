package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

const (
	// tailLines is how much of each log is read, logRead how much of that is taken from the API server, and logKept how much goes
	// into a report: the end of it.
	tailLines = 2000
	logRead   = 16 << 20
	logKept   = 2 << 20
	// usualNamespace is where the operator is, unless somebody has chosen another one.
	usualNamespace = "consul-operator-system"
)

// gatherLogs reads the logs of the servers and of the operator, and which versions take part.
func (s *session) gatherLogs(ctx context.Context, e *evidence) error {
	config, err := s.flags.ToRESTConfig()
	if err != nil {
		return err
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, pod := range e.serverPods() {
		gatherLogsOf(ctx, core, e, pod, "logs/"+pod.Name)
	}
	operators, err := s.operators(ctx)
	if err != nil {
		e.miss("the operator and its log", err)
	}
	for _, pod := range operators {
		gatherLogsOf(ctx, core, e, pod, "logs/operator/"+pod.Namespace+"-"+pod.Name)
	}
	var kubernetes struct {
		GitVersion string `json:"gitVersion"`
	}
	raw, err := core.RESTClient().Get().AbsPath("/version").DoRaw(ctx)
	if err == nil {
		err = json.Unmarshal(raw, &kubernetes)
	}
	if err != nil {
		e.miss("the version of Kubernetes", err)
	}
	e.versions = versionsOf(s.version, kubernetes.GitVersion, operators, e.ConsulCluster)
	return nil
}

// serverPods are the pods of the servers by name.
func (e *evidence) serverPods() (pods []corev1.Pod) {
	for _, pod := range e.pods {
		if pod.Labels[v1alpha1.LabelServer] != "" {
			pods = append(pods, pod)
		}
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods
}

// operators are the pods of the operator, wherever it is; for who may not look everywhere, where it usually is.
func (s *session) operators(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	ours := client.MatchingLabels{"app.kubernetes.io/name": "consul-operator"}
	err := s.client.List(ctx, &pods, ours)
	if apierrors.IsForbidden(err) {
		err = s.client.List(ctx, &pods, ours, client.InNamespace(usualNamespace))
	}
	if err == nil && len(pods.Items) == 0 {
		err = errors.New("no pod has the label app.kubernetes.io/name=consul-operator")
	}
	return pods.Items, err
}

// gatherLogsOf reads the logs of a pod's containers, and of the processes before, if they were restarted.
func gatherLogsOf(ctx context.Context, core corev1client.PodsGetter, e *evidence, pod corev1.Pod, file string) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		read := func(suffix string, options corev1.PodLogOptions) {
			options.Container, options.TailLines, options.Timestamps = status.Name, ptr.To[int64](tailLines), true
			name := file + "-" + status.Name + suffix + ".log"
			text, err := readLog(ctx, core, pod, &options)
			if err != nil {
				e.miss(name, err)
				return
			}
			e.logs = append(e.logs, logText{name, text})
		}
		read("", corev1.PodLogOptions{})
		if status.RestartCount > 0 {
			read("-previous", corev1.PodLogOptions{Previous: true})
		}
	}
}

func readLog(ctx context.Context, core corev1client.PodsGetter, pod corev1.Pod, options *corev1.PodLogOptions) (string, error) {
	stream, err := core.Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	raw, err := io.ReadAll(io.LimitReader(stream, logRead))
	return endOf(string(raw), logKept), err
}

// endOf is the end of a text, from the beginning of a line on.
func endOf(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	if _, rest, found := strings.Cut(text, "\n"); found {
		return rest
	}
	return text
}
