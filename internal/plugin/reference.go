package plugin

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Reference is the reference of all commands, as Markdown.
func Reference() string {
	root := newRoot(genericiooptions.NewTestIOStreamsDiscard(), "")
	var b strings.Builder
	for _, group := range root.Groups() {
		for _, command := range root.Commands() {
			if command.GroupID == group.ID {
				describe(&b, command)
			}
		}
	}
	return b.String()
}

// describe writes the section of a command, or those of its own commands.
func describe(b *strings.Builder, command *cobra.Command) {
	if command.HasSubCommands() {
		for _, sub := range command.Commands() {
			describe(b, sub)
		}
		return
	}
	name := nameOf(command)
	what := strings.TrimSuffix(cmp.Or(command.Long, command.Short), ".")
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n    %s\n", name, what, usageOf(command))
	if command.Example != "" {
		fmt.Fprintf(b, "\nFor example:\n\n%s\n", indented(command.Example))
	}
	var flags []string
	command.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			flags = append(flags, fmt.Sprintf("| `%s` | %s |\n", flagName(f), f.Usage))
		}
	})
	if len(flags) > 0 {
		fmt.Fprintf(b, "\n| flag | |\n|---|---|\n%s", strings.Join(flags, ""))
	}
	b.WriteString("\n| right | verbs | without it |\n|---|---|---|\n")
	for _, right := range rights[name] {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", strings.TrimSuffix(right.Resource+"."+right.Group, "."), strings.Join(right.Verbs, ", "),
			cmp.Or(right.For, "it fails"))
	}
}

// nameOf is the name of a command, such as "snapshot save".
func nameOf(command *cobra.Command) string {
	_, name, _ := strings.Cut(command.CommandPath(), "consul ")
	return name
}

func usageOf(command *cobra.Command) string { return strings.TrimSuffix(command.UseLine(), " [flags]") }

// indented has four spaces before each line, whatever it had before.
func indented(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, "    "+strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}

func flagName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	return name
}
