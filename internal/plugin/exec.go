package plugin

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/consul-operator/consul-operator/internal/resources"
)

func (s *session) execCommand() *cobra.Command {
	server := ""
	cmd := &cobra.Command{
		Use: "exec [CLUSTER] [--pod NAME] -- COMMAND...", DisableFlagsInUseLine: true,
		Short: "Run a command beside the leader, such as consul members",
		Long: `Run a command in the pod of the leader, or of the server that is named. What it reads, prints and returns is passed on.

The consul command there knows the address of the server, and has the management token if there are ACLs. So whoever may run
commands in pods may do everything in Consul. There is no terminal: for a shell, use kubectl exec -it.

The exit code is that of the command.`,
		Example: `  kubectl consul exec -- consul operator raft list-peers
  kubectl consul exec consul --pod consul-4 -- consul info
  echo hello | kubectl consul exec -- consul kv put greeting -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, words, err := splitAtDash(args, cmd.ArgsLenAtDash())
			if err != nil {
				return err
			}
			return s.exec(cmd.Context(), names, server, words)
		},
	}
	cmd.Flags().StringVar(&server, "pod", "", "the server; the leader by default")
	return cmd
}

// splitAtDash splits arguments into the name of the cluster, or none, and the words of a command.
func splitAtDash(args []string, dash int) (names, words []string, err error) {
	if dash < 0 || dash == len(args) {
		return nil, nil, usage("say the command behind --, such as: kubectl consul exec -- consul members")
	}
	return args[:dash], args[dash:], clusterArgs(nil, args[:dash])
}

func (s *session) exec(ctx context.Context, args []string, server string, words []string) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	pod, err := s.podOf(ctx, server)
	if err != nil {
		return err
	}
	executor, err := s.executor(pod, words)
	if err != nil {
		return err
	}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: s.In, Stdout: s.Out, Stderr: s.ErrOut})
	if ctx.Err() != nil {
		return &codedError{code: exitInterrupted}
	}
	return passedOn(err)
}

// executor runs a command in a pod: by WebSocket, or by SPDY where the API server, a proxy or the rights allow that only.
func (s *session) executor(pod *corev1.Pod, words []string) (remotecommand.Executor, error) {
	core, err := s.core()
	if err != nil {
		return nil, err
	}
	at := core.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").VersionedParams(
		&corev1.PodExecOptions{Container: resources.ContainerConsul, Command: words, Stdin: true, Stdout: true, Stderr: true},
		clientgoscheme.ParameterCodec).URL()
	first, err := remotecommand.NewWebSocketExecutor(s.config, http.MethodGet, at.String())
	if err != nil {
		return nil, err
	}
	second, err := remotecommand.NewSPDYExecutor(s.config, http.MethodPost, at)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(first, second, isNoWebSocket)
}

// isNoWebSocket reports whether it is worth to try SPDY, as kubectl does.
func isNoWebSocket(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

// passedOn ends with the exit code of a command that has ended; what it had to say it has printed itself.
func passedOn(err error) error {
	var ended utilexec.CodeExitError
	if errors.As(err, &ended) {
		return &codedError{code: ended.Code}
	}
	return explained(err)
}
