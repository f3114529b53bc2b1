package plugin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// start reads a log beside the others.
func (r *reading) start(ctx context.Context, id string, of *container, options corev1.PodLogOptions) {
	of.isOpen = true
	r.merger.open(id)
	server, last := of.server, of.last
	go func() {
		err := r.read(ctx, id, server, last, &options)
		select {
		case r.events <- logEvent{id: id, end: true, err: err}:
		case <-ctx.Done():
		}
	}()
}

// read passes the lines of a container on that are younger than the last one that was read before.
func (r *reading) read(ctx context.Context, id, server string, last time.Time, options *corev1.PodLogOptions) error {
	stream, err := r.core.Get().Namespace(r.key.Namespace).Resource("pods").Name(server).SubResource("log").
		VersionedParams(options, clientgoscheme.ParameterCodec).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	from, before := bufio.NewReader(stream), last
	for {
		raw, err := from.ReadString('\n')
		if raw != "" {
			line := parsed(server, raw, before)
			before = line.at
			if last.IsZero() || line.at.After(last) {
				select {
				case r.events <- logEvent{id: id, line: line}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
