package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

// Main parses the flags of a program and runs it until it is done or Ctrl-C, and exits with 1 if it fails.
func Main(version string, run func(context.Context) error) {
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	klog.SetLogger(logr.Discard()) // The client libraries complain about a cluster that is being stopped.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second Ctrl-C ends it at once; the processes die with it.
	switch err := run(ctx); {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Println("\nstopped, nothing is left running")
		os.Exit(130)
	case err != nil:
		fmt.Fprintf(os.Stderr, "\nFAILED: %v\n", err)
		os.Exit(1)
	}
}
