package plugin

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// reporting is where a report goes.
type reporting struct{ zip, html string }

func (s *session) reportCommand() *cobra.Command {
	var r reporting
	cmd := &cobra.Command{
		Use: "report [CLUSTER]", Args: clusterArgs,
		Short: "Write what is known of a cluster into a file, for support",
		Long: `Write what is known of a cluster into a ZIP file, for whoever helps you: its objects, events and logs. With --html
also, or only, a page for a browser, with a timeline.

Secrets are not read, and what looks like one is taken out of everything. Look at the files before you send them away.
What you may not read is left out, and README.txt says so.`,
		Example: `  kubectl consul report consul
  kubectl consul report consul --output-file consul.zip --html consul.html`,
		RunE: func(cmd *cobra.Command, args []string) error { return s.report(cmd.Context(), args, r) },
	}
	cmd.Flags().StringVar(&r.zip, "output-file", "", "the ZIP file; CLUSTER-report-TIME.zip unless --html is given")
	cmd.Flags().StringVar(&r.html, "html", "", "the page for a browser")
	return cmd
}

func (s *session) report(ctx context.Context, args []string, r reporting) error {
	if err := s.on(ctx, args); err != nil {
		return err
	}
	if r.zip == "" && r.html == "" {
		r.zip = fmt.Sprintf("%s-report-%s.zip", s.key.Name, time.Now().UTC().Format("20060102-150405"))
	}
	for _, file := range []string{r.zip, r.html} {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("%s is there already: name another file, or remove it", file)
		}
	}
	e, err := s.gather(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() != nil { // then nothing could be read, and not because of missing rights
		return ctx.Err()
	}
	files, err := e.files(r)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := writeNew(file.name, file.content); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "Wrote %s (%s).\n", file.name, sizeOf(len(file.content)))
	}
	fmt.Fprint(s.Out, "\n"+e.parting(r))
	return nil
}

type output struct {
	name    string
	content []byte
}

// files are what is to be written.
func (e *evidence) files(r reporting) ([]output, error) {
	redact := newRedactor()
	redact.know(e.knownIDs()...)
	var files []output
	if r.zip != "" {
		entries, err := e.entries(redact)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := writeBundle(&b, entries, e.at); err != nil {
			return nil, err
		}
		files = append(files, output{r.zip, b.Bytes()})
	}
	if r.html != "" {
		page, err := e.page(redact)
		if err != nil {
			return nil, err
		}
		files = append(files, output{r.html, []byte(page)})
	}
	return files, nil
}

// writeNew writes a file that is not there yet, for its owner alone. Half a file is removed.
func writeNew(name string, content []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the person names it
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = os.Remove(name) // the first error counts
	}
	return err
}

// parting says what to do before a report is sent away, and what is not in it.
func (e *evidence) parting(r reporting) string {
	look := "README.txt, cluster.yaml, events.txt and logs/"
	if r.zip == "" {
		look = "messages of events and conditions"
	}
	text := wrapped("Secrets were taken out, as far as a program can tell. Look at it before you send it away, above all at "+look+
		": names, addresses and what servers log are as they were.", 0) + "\n"
	if len(e.gaps) == 0 {
		return text
	}
	var missing []string
	for _, gap := range e.gaps {
		missing = append(missing, gap.what)
	}
	return text + "\n" + wrapped("Left out: "+strings.Join(missing, ", ")+".", 0) + "\n"
}

// sizeOf is a size for people.
func sizeOf(bytes int) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", (bytes+1023)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
