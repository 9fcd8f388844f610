//go:build linux && amd64

// Runs a program with a simulated slow or failing disk: syncs block while one switch file exists, and writes and syncs of the
// named files fail while another one exists. A file next to the first, ending in .holding, appears when a sync is blocked.
//
//	faulty-disk -hold-while /tmp/held -fail-while /tmp/fails -files journal.db,journal.db-wal program arguments…
//
// It exits like the program and forwards SIGTERM and SIGINT. If it is killed, so is the program.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Set in the environment of the traced child, which sets the filter and then executes the program.
const childMark = "FAULTY_DISK_CHILD"

const (
	prSetNoNewPrivs   = 38
	prSetSeccomp      = 22
	seccompModeFilter = 2
	retAllow          = 0x7fff0000
	retTrace          = 0x7ff00000

	traceeOptions = 0x2 | 0x4 | 0x8 | 0x80 | 0x100000 // fork, vfork, clone, seccomp, exit-kill
	eventSeccomp  = 7
	waitAll       = 0x40000000
)

var syncs = map[uint64]bool{syscall.SYS_FSYNC: true, syscall.SYS_FDATASYNC: true}

var traced = []uint32{
	syscall.SYS_FSYNC, syscall.SYS_FDATASYNC,
	syscall.SYS_WRITE, syscall.SYS_PWRITE64, syscall.SYS_WRITEV, syscall.SYS_PWRITEV,
	syscall.SYS_FTRUNCATE, syscall.SYS_FALLOCATE,
}

func main() {
	runtime.LockOSThread()
	if os.Getenv(childMark) != "" {
		become(os.Args[1:])
	}
	holdWhile := flag.String("hold-while", "", "while this file is there, fsync and fdatasync of the files do not return")
	failWhile := flag.String("fail-while", "", "while this file is there, writes and syncs of the files fail with EIO")
	files := flag.String("files", "", "names of the files, separated by commas")
	flag.Parse()
	os.Exit(trace(flag.Args(), faults{
		holdWhile: *holdWhile,
		failWhile: *failWhile,
		files:     strings.Split(*files, ","),
	}))
}

func check(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "faulty-disk: %s: %v\n", what, err)
		os.Exit(125)
	}
}

// Sets the filter for this thread, the only one that survives exec, and executes the program.
func become(args []string) {
	filter := []syscall.SockFilter{{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: 0}}
	for place, number := range traced {
		filter = append(filter, syscall.SockFilter{
			Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: number, Jt: uint8(len(traced) - place),
		})
	}
	filter = append(filter,
		syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: retAllow},
		syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: retTrace})
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall6(
			syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter, uintptr(unsafe.Pointer(&program)), 0, 0, 0)
	}
	if errno != 0 {
		check(errno, "seccomp")
	}
	environment := []string{}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, childMark) {
			environment = append(environment, variable)
		}
	}
	check(syscall.Exec(args[0], args, environment), args[0])
}

type faults struct {
	holdWhile string
	failWhile string
	files     []string
}

func trace(args []string, faults faults) int {
	self, err := os.Executable()
	check(err, "executable")
	process, err := os.StartProcess(self, append([]string{self}, args...), &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Env:   append(os.Environ(), childMark+"=1"),
		Sys:   &syscall.SysProcAttr{Ptrace: true},
	})
	check(err, "start")
	var status syscall.WaitStatus
	_, err = syscall.Wait4(process.Pid, &status, 0, nil)
	check(err, "wait")
	check(syscall.PtraceSetOptions(process.Pid, traceeOptions), "ptrace")
	check(syscall.PtraceCont(process.Pid, 0), "continue")

	asked := make(chan os.Signal, 4)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for received := range asked {
			_ = syscall.Kill(process.Pid, received.(syscall.Signal))
		}
	}()

	var holding []int
	known := map[int]bool{process.Pid: true}
	for {
		flags := waitAll
		if len(holding) > 0 {
			flags |= syscall.WNOHANG
		}
		thread, err := syscall.Wait4(-1, &status, flags, nil)
		if err == syscall.EINTR {
			continue
		}
		check(err, "wait")
		if len(holding) > 0 && !isThere(faults.holdWhile) {
			for _, one := range holding {
				_ = syscall.PtraceCont(one, 0)
			}
			holding = nil
		}
		if thread == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		if status.Exited() || status.Signaled() {
			if thread != process.Pid {
				continue
			}
			if status.Signaled() {
				return 128 + int(status.Signal())
			}
			return status.ExitStatus()
		}
		if faults.apply(thread, status) {
			holding = append(holding, thread)
			continue
		}
		_ = syscall.PtraceCont(thread, passedOn(thread, status, known))
	}
}

// The signal to deliver to a stopped thread. The first stop of a new thread comes from tracing, not from a signal.
func passedOn(thread int, status syscall.WaitStatus, known map[int]bool) int {
	if status.StopSignal() == syscall.SIGTRAP {
		return 0
	}
	if !known[thread] {
		known[thread] = true
		if status.StopSignal() == syscall.SIGSTOP {
			return 0
		}
	}
	return int(status.StopSignal())
}

// Makes a system call fail, or returns true if its thread must stay stopped.
func (faults faults) apply(thread int, status syscall.WaitStatus) bool {
	if status.StopSignal() != syscall.SIGTRAP || status.TrapCause() != eventSeccomp {
		return false
	}
	var registers syscall.PtraceRegs
	if syscall.PtraceGetRegs(thread, &registers) != nil || !faults.concerns(thread, registers.Rdi) {
		return false
	}
	if isThere(faults.failWhile) {
		minusIOError := -int64(syscall.EIO)
		registers.Orig_rax = ^uint64(0)
		registers.Rax = uint64(minusIOError)
		_ = syscall.PtraceSetRegs(thread, &registers)
		return false
	}
	if !syncs[registers.Orig_rax] || !isThere(faults.holdWhile) {
		return false
	}
	check(os.WriteFile(faults.holdWhile+".holding", nil, 0o600), "holding")
	return true
}

func isThere(file string) bool {
	_, err := os.Stat(file)
	return file != "" && err == nil
}

func (faults faults) concerns(thread int, descriptor uint64) bool {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", thread, descriptor))
	if err != nil {
		return false
	}
	for _, name := range faults.files {
		if filepath.Base(path) == name {
			return true
		}
	}
	return false
}
