package virtualtime

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// share of the runs with trouble: to tell them all takes half an hour and more.
type share struct{ part, parts int }

// shareOf is one of so many parts. Which one changes from day to day, so that all are told in the end. SIM_SHARE is the number
// of another day, or "all".
func shareOf(parts int) share {
	const day = 24 * 60 * 60
	number := int(time.Now().Unix() / day)
	switch wanted := os.Getenv("SIM_SHARE"); wanted {
	case "":
	case "all":
		return share{0, 1}
	default:
		var err error
		if number, err = strconv.Atoi(wanted); err != nil || number < 0 {
			panic(fmt.Sprintf("SIM_SHARE=%s is neither a number nor all", wanted))
		}
	}
	return share{number % parts, parts}
}

func (s share) String() string { return fmt.Sprintf("part %d of %d, see SIM_SHARE", s.part+1, s.parts) }

// has tells whether the i-th run is in this part.
func (s share) has(i int) bool { return i%s.parts == s.part }
