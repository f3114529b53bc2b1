package await

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestSuccessIsTriedForAgain(t *testing.T) {
	g := NewWithT(t)
	tries, notYet := 0, errors.New("not yet")
	g.Expect(Success(t.Context(), time.Millisecond, func() error {
		if tries++; tries < 3 {
			return notYet
		}
		return nil
	})).To(Succeed())
	g.Expect(tries).To(Equal(3))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := Success(ended, time.Hour, func() error { return notYet })
	g.Expect(err).To(And(MatchError(notYet), MatchError(context.Canceled)))
}
