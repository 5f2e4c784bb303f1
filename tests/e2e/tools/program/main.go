// The one program inside the images that run for real on the cluster's node.
//
//	program                    waits until it is told to stop, as a pause container does
//	program exit CODE          ends with CODE at once
//	program dial HOST:PORT     ends with 0 if a TCP connection can be made within 10 s
//
// It leaves out everything else: what an image contains does not matter to platform-gate, only whether it starts.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() {
	fmt.Printf("running as %s/%s\n", runtime.GOOS, runtime.GOARCH)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		waitForStop()
		return nil
	case len(args) == 2 && args[0] == "exit":
		code, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("exit %q: not a number", args[1])
		}
		os.Exit(code)
		return nil
	case len(args) == 2 && args[0] == "dial":
		conn, err := net.DialTimeout("tcp", args[1], 10*time.Second)
		if err != nil {
			return err
		}
		fmt.Printf("connected to %s\n", conn.RemoteAddr())
		return conn.Close()
	default:
		return fmt.Errorf("usage: program [exit CODE | dial HOST:PORT], got %q", args)
	}
}

// waitForStop is the first process of its pid namespace, so it also buries orphans.
func waitForStop() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
