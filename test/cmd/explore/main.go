// Command explore visits the states of the simulation's scenarios and says how many there are. It ends with 1 at the
// first violation of an invariant, after printing the shortest way to it.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/consul-operator/consul-operator/test/lib/report"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

func main() {
	limit := flag.Int("states", 0, "visit at most so many states of each scenario; 0 for the scenario's own limit")
	pattern := flag.String("run", "", "explore only scenarios whose name matches this regular expression")
	flag.Parse()
	debug.SetGCPercent(-1) // a state is made and forgotten in microseconds, and there is memory
	debug.SetMemoryLimit(2 << 30)
	match, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "explore: -run:", err)
		os.Exit(2)
	}
	if !run(*limit, match) {
		os.Exit(1)
	}
}

// run explores as many scenarios at a time as there are processors, and says whether all invariants hold.
func run(limit int, match *regexp.Regexp) bool {
	var (
		group   sync.WaitGroup
		results = make(chan sim.Result)
		todo    = make(chan sim.Scenario)
		start   = time.Now()
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for scenario := range todo {
				results <- sim.Explore(scenario, limit)
			}
		})
	}
	go func() {
		for _, scenario := range sim.Scenarios() {
			if match.MatchString(scenario.Name) {
				todo <- scenario
			}
		}
		close(todo)
		group.Wait()
		close(results)
	}()
	return tell(results, start)
}

func tell(results <-chan sim.Result, start time.Time) bool {
	fmt.Printf("%11s %12s  %s\n", "states", "transitions", "scenario")
	var scenarios, complete, states, transitions int
	for r := range results {
		note := ""
		if !r.Complete {
			note = ", stopped at its limit"
		}
		fmt.Printf("%11s %12s  %s%s\n", report.Number(r.States), report.Number(r.Transitions), r.Scenario, note)
		if r.Violation != nil {
			fmt.Printf("\n%s\n%s", r.Violation, r.Story())
			return false
		}
		scenarios++
		states, transitions = states+r.States, transitions+r.Transitions
		if r.Complete {
			complete++
		}
	}
	fmt.Printf("%s distinct states and %s transitions in %s: no invariant is violated. %d of %s explored to the end.\n",
		report.Number(states), report.Number(transitions), report.Seconds(time.Since(start)), complete,
		report.Count(scenarios, "scenario"))
	return true
}
