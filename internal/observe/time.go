package observe

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoundUp rounds a time up to whole seconds, the precision in which Kubernetes stores it. Rounding up never makes a duration
// counted from it seem longer than it is, so no wait is too short.
func RoundUp(t time.Time) metav1.Time {
	return metav1.NewTime(t.Add(time.Second - 1).Truncate(time.Second))
}
