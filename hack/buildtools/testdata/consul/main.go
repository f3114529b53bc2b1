// Command consul tells a version and looks up a name as Consul does.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	if os.Args[1] == "version" {
		fmt.Println("Consul v1.22.7")
		return
	}
	_, err := net.Dial("tcp", strings.TrimPrefix(os.Args[2], "-http-addr=http://"))
	fmt.Println(err)
	os.Exit(1)
}
