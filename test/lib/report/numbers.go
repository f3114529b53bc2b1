package report

import (
	"fmt"
	"strconv"
	"time"
)

// Number writes a number with a comma for every thousand.
func Number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Count writes a number and what is counted.
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return Number(n) + " " + what
}

// Seconds writes a duration in seconds.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// Millis writes a duration in milliseconds, and in seconds where nobody would count milliseconds.
func Millis(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return Seconds(d)
	case d >= 10*time.Millisecond:
		return Number(int(d.Milliseconds())) + " ms"
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
