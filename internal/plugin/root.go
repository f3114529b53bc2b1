package plugin

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// The exit codes, which are part of the interface.
const (
	exitOK = 0
	// exitFailed is for everything that went wrong.
	exitFailed = 1
	// exitUsage is for a command line that cannot be understood.
	exitUsage = 2
	// exitAttention is for a cluster that needs a person: condition Stalled is True.
	exitAttention = 3
	// exitTimeout is for what was not reached within --timeout. It goes on.
	exitTimeout = 4
	// exitInterrupted is for Ctrl-C. What was begun goes on.
	exitInterrupted = 130
)

const long = `Show and steer Consul clusters that consul-operator runs.

Each command is about one ConsulCluster. Its name may be left out if it is the
only one in the namespace.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the cluster needs a person, 4 not
done within --timeout, 130 interrupted. After 4 and 130, the work goes on.`

// Run runs a command line, prints an error if there is one, and returns the exit code.
func Run(ctx context.Context, streams genericiooptions.IOStreams, version string, args []string) int {
	root := newRoot(streams, version)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil { // Ctrl-C, of which a person need not be told
		return exitInterrupted
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(streams.ErrOut, "error: "+text)
	}
	return codeOf(ctx, err)
}

// codeOf is the exit code of an error.
func codeOf(ctx context.Context, err error) int {
	var coded *codedError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case ctx.Err() != nil:
		return exitInterrupted
	}
	return exitFailed
}

// codedError is an error with an exit code of its own.
type codedError struct {
	code int
	text string
}

func (e *codedError) Error() string { return e.text }

func usage(format string, args ...any) error {
	return &codedError{exitUsage, fmt.Sprintf(format, args...)}
}

func newRoot(streams genericiooptions.IOStreams, version string) *cobra.Command {
	access := genericclioptions.NewConfigFlags(true)
	root := &cobra.Command{
		Use: "kubectl-consul", Short: "Show and steer Consul clusters", Long: long,
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl consul"},
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q; see kubectl consul --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%v; see %s --help", err, cmd.CommandPath())
	})
	access.AddFlags(root.PersistentFlags())
	s := &session{IOStreams: streams, flags: access, version: version}
	root.AddGroup(
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "steer", Title: "Steer:"},
		&cobra.Group{ID: "reach", Title: "Reach Consul:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add("look", s.statusCommand(), s.explainCommand(), s.logsCommand(), s.reportCommand(), s.versionCommand())
	add("steer", s.upgradeCommand(), s.scaleCommand(), s.restartCommand(), s.transferCommand(), s.replaceCommand(),
		s.rotateCommand(), s.pauseCommand(), s.resumeCommand(), s.recoverCommand(), s.drainCommand())
	add("reach", s.execCommand(), s.uiCommand(), s.tokenCommand(), s.snapshotCommand())
	return root
}
