package virtualtime

import (
	"testing"

	. "github.com/onsi/gomega"
)

// Each run is told on one day of as many as there are parts, and by a week and all as often as it should be.
func TestShares(t *testing.T) {
	g := NewWithT(t)
	const parts = 20
	told := func(wanted string, today, i int) bool {
		first, days := shareWanted(wanted, today)
		return share{first % parts, parts, days}.has(i)
	}
	for i := range 3 * parts {
		n, week := 0, 0
		for today := range parts {
			if told("", today, i) {
				n++
			}
			if told("week", today, i) {
				week++
			}
			g.Expect(told("all", today, i)).To(BeTrue())
		}
		g.Expect(n).To(Equal(1))
		g.Expect(week).To(Equal(7))
		g.Expect(told("5", 0, i)).To(Equal(told("", 5, i)))
		g.Expect(told("5+7", 0, i)).To(Equal(told("week", 5, i)))
	}
	g.Expect(func() { shareWanted("5+x", 0) }).To(Panic())
}
