package report

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestNumbersForPeople(t *testing.T) {
	g := NewWithT(t)
	g.Expect([]string{Number(0), Number(999), Number(1000), Number(1234567)}).To(Equal([]string{"0", "999", "1,000", "1,234,567"}))
	g.Expect([]string{Count(1, "server"), Count(3, "server")}).To(Equal([]string{"1 server", "3 servers"}))
	g.Expect([]string{Millis(1500 * time.Microsecond), Millis(95 * time.Millisecond), Millis(73 * time.Second)}).
		To(Equal([]string{"1.5 ms", "95 ms", "73.0 s"}))
}
