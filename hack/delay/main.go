// Command delay holds packets back that the kernel hands to it, each for the same time and in their order. It stands for a
// slow network where the kernel has no queueing discipline for that (netem).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/florianl/go-nfqueue/v2"
)

// queue is the one that the kernel hands packets over in (iptables -j NFQUEUE --queue-num).
const queue = 0

// capacity is how many packets are held at most, in the kernel and here; what comes on top of it is not delayed.
const capacity = 1 << 14

// held is a packet that waits in the kernel.
type held struct {
	id    uint32
	until time.Time
}

func main() {
	by := flag.Duration("by", 50*time.Millisecond, "for how long each packet is held")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *by); err != nil {
		fmt.Fprintln(os.Stderr, "delay:", err)
		os.Exit(1)
	}
}

// run holds packets until the context ends. The kernel drops those that are held then.
func run(ctx context.Context, by time.Duration) error {
	packets, err := nfqueue.Open(&nfqueue.Config{
		NfQueue: queue, MaxQueueLen: capacity, Copymode: nfqueue.NfQnlCopyMeta,
		Flags: nfqueue.NfQaCfgFlagFailOpen | nfqueue.NfQaCfgFlagGSO,
	})
	if err != nil {
		return err
	}
	defer func() { _ = packets.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // first: Close waits for what runs until then
	waiting := make(chan held, capacity)
	failed := make(chan error, 1)
	err = packets.RegisterWithErrorFunc(ctx,
		func(packet nfqueue.Attribute) int {
			waiting <- held{*packet.PacketID, time.Now().Add(by)}
			return 0
		},
		func(err error) int {
			// A packet that was held went with its device, or there were more than the socket takes: the others are still to come.
			if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOBUFS) {
				return 0
			}
			if ctx.Err() == nil {
				failed <- err
			}
			return 1
		})
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case packet := <-waiting:
			time.Sleep(time.Until(packet.until))
			if err := packets.SetVerdict(packet.id, nfqueue.NfAccept); err != nil {
				return err
			}
		}
	}
}
