// Package await waits.
package await

import (
	"context"
	"fmt"
	"time"
)

// Sleep waits for a while, or until the context ends, which is an error.
func Sleep(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Success tries something again and again until there is no error. When the context ends it returns the last one.
func Success(ctx context.Context, interval time.Duration, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ended := Sleep(ctx, interval); ended != nil {
			return fmt.Errorf("%w (%w)", err, ended)
		}
	}
}
