// Command rclone is rclone with what it needs to serve a folder by S3, and nothing else: with all of its stores it takes five times
// as long to build.
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/serve/s3"
)

func main() { cmd.Main() }
