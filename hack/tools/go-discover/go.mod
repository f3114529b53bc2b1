// What stands in for the cloud auto-join that every Consul is linked with, see ../README.md.
module github.com/hashicorp/go-discover

go 1.26
