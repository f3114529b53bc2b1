package observe

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoundUp is a time as Kubernetes writes it, which is in whole seconds: rounded up, so that nothing that is counted from
// it seems to last longer than it does, and no wait for it is too short.
func RoundUp(t time.Time) metav1.Time {
	return metav1.NewTime(t.Add(time.Second - 1).Truncate(time.Second))
}
