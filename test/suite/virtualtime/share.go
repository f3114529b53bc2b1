package virtualtime

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// share of the runs with trouble: to tell them all takes half an hour and more. It has the parts of so many days.
type share struct{ part, parts, days int }

// firstDay is the number of the first day whose shares are told, and days how many there are: today, unless SIM_SHARE is the
// number of another day, `day+days`, `week` (today and six more) or `all`.
var firstDay, days = shareWanted(os.Getenv("SIM_SHARE"), int(time.Now().Unix()/(24*60*60)))

func shareWanted(wanted string, today int) (firstDay, days int) {
	switch wanted {
	case "":
		return today, 1
	case "week":
		return today, 7
	case "all":
		return 0, math.MaxInt
	}
	first, more, several := strings.Cut(wanted, "+")
	if !several {
		more = "1"
	}
	firstDay, err := strconv.Atoi(first)
	days, err2 := strconv.Atoi(more)
	if err != nil || err2 != nil || firstDay < 0 || days < 1 {
		panic(fmt.Sprintf("SIM_SHARE=%s is neither the number of a day, nor day+days, week or all", wanted))
	}
	return firstDay, days
}

// shareOf is one of so many parts of a list of runs for each day. Which one changes from day to day, so that all are told in the
// end, and from list to list, as shift says.
func shareOf(parts, shift int) share {
	return share{(firstDay + shift) % parts, parts, days}
}

func (s share) String() string {
	if s.days >= s.parts {
		return "all of them"
	}
	return fmt.Sprintf("%d of %d parts: SIM_SHARE=%d+%d", s.days, s.parts, firstDay, s.days)
}

// has tells whether the i-th run is in this share.
func (s share) has(i int) bool { return (i+s.parts-s.part)%s.parts < s.days }
