//go:build linux && amd64

// Runs a program whose disk is slow or failing: syncs are delayed, and writes to named files fail while a switch file is there.
//
//	faulty-disk -delay-ms 50 -fail-while /tmp/switch -files journal.db,journal.db-wal program arguments…
//
// It ends as the program ends, and passes SIGTERM and SIGINT on. Killed, it takes the program with it.
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

// Given to ourselves in the traced process, which sets the filter and becomes the program.
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
	delayMs := flag.Int("delay-ms", 0, "how long each fsync and fdatasync takes longer")
	failWhile := flag.String("fail-while", "", "while this file is there, writes and syncs of the files fail with EIO")
	files := flag.String("files", "", "names of the files, separated by commas")
	flag.Parse()
	os.Exit(trace(flag.Args(), faults{
		delay:     time.Duration(*delayMs) * time.Millisecond,
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

// Sets the filter for this thread, which exec leaves as the only one, and becomes the program.
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
	delay     time.Duration
	failWhile string
	files     []string
}

// A stopped thread that goes on at an instant.
type held struct {
	thread int
	until  time.Time
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

	var holding []held
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
		holding = release(holding)
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
		if until, isHeld := faults.apply(thread, status); isHeld {
			holding = append(holding, held{thread, until})
			continue
		}
		_ = syscall.PtraceCont(thread, passedOn(thread, status, known))
	}
}

func release(holding []held) []held {
	left := holding[:0]
	now := time.Now()
	for _, one := range holding {
		if now.Before(one.until) {
			left = append(left, one)
		} else {
			_ = syscall.PtraceCont(one.thread, 0)
		}
	}
	return left
}

// The signal that a stopped thread is to get. The first stop of a new thread is of our making.
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

// Makes a system call fail, or says until when its thread is to stand still.
func (faults faults) apply(thread int, status syscall.WaitStatus) (time.Time, bool) {
	if status.StopSignal() != syscall.SIGTRAP || status.TrapCause() != eventSeccomp {
		return time.Time{}, false
	}
	var registers syscall.PtraceRegs
	if syscall.PtraceGetRegs(thread, &registers) != nil {
		return time.Time{}, false
	}
	if faults.isFailing() && faults.concerns(thread, registers.Rdi) {
		minusIOError := -int64(syscall.EIO)
		registers.Orig_rax = ^uint64(0)
		registers.Rax = uint64(minusIOError)
		_ = syscall.PtraceSetRegs(thread, &registers)
		return time.Time{}, false
	}
	return time.Now().Add(faults.delay), syncs[registers.Orig_rax] && faults.delay > 0
}

func (faults faults) isFailing() bool {
	if faults.failWhile == "" {
		return false
	}
	_, err := os.Stat(faults.failWhile)
	return err == nil
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
