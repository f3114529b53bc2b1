package virtualtime

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// share of the runs with trouble: to tell them all takes half an hour and more.
type share struct{ part, parts int }

// day is the number of the day whose shares are told: today's, or that of SIM_SHARE. It is negative if that is "all".
var day = func() int {
	switch wanted := os.Getenv("SIM_SHARE"); wanted {
	case "":
		return int(time.Now().Unix() / (24 * 60 * 60))
	case "all":
		return -1
	default:
		number, err := strconv.Atoi(wanted)
		if err != nil || number < 0 {
			panic(fmt.Sprintf("SIM_SHARE=%s is neither the number of a day nor all", wanted))
		}
		return number
	}
}()

// shareOf is one of so many parts of a list of runs. Which one changes from day to day, so that all are told in the end, and from
// list to list, as shift says.
func shareOf(parts, shift int) share {
	if day < 0 {
		return share{0, 1}
	}
	return share{(day + shift) % parts, parts}
}

func (s share) String() string {
	if s.parts == 1 {
		return "all of them"
	}
	return fmt.Sprintf("one of %d parts: SIM_SHARE=%d", s.parts, day)
}

// has tells whether the i-th run is in this part.
func (s share) has(i int) bool { return i%s.parts == s.part }
