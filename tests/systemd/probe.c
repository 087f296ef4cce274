/* Tries what the service must not be able to do, and what it must, and writes a line about each:
 * "NAME allowed" or "NAME refused ERRNO". Run inside the unit's sandbox, and outside it to show
 * that it is the sandbox that refuses.
 *
 * probe FILE PORT OPEN_DIRECTORY OWN_DIRECTORY HOME_FILE */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *out;

static void tell(const char *name, int allowed)
{
    if (allowed)
        fprintf(out, "%s allowed\n", name);
    else
        fprintf(out, "%s refused %s\n", name, strerrorname_np(errno));
}

static void make_file(const char *name, const char *directory)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/.probe-%d", directory, getpid());
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    tell(name, fd >= 0);
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
}

static void make_socket(const char *name, int family, int type)
{
    int fd = socket(family, type, 0);

    tell(name, fd >= 0);
    if (fd >= 0)
        close(fd);
}

static void open_file(const char *name, const char *path, int flags)
{
    int fd = open(path, flags);

    tell(name, fd >= 0);
    if (fd >= 0)
        close(fd);
}

static void memory(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p =
        mmap(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    tell("memory-writable-and-executable", p != MAP_FAILED);
    p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 0xc3, page);
    tell("memory-executed-after-written", mprotect(p, page, PROT_READ | PROT_EXEC) == 0);
}

/* In a child: being traced, and what a namespace does, must not outlive the question. */
static void in_child(const char *name, int (*attempt)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(attempt() == 0 ? 0 : errno);
    waitpid(pid, &status, 0);
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    tell(name, errno == 0);
}

static int be_traced(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int read_parent(void)
{
    static char here[16];
    static const char there[16] = "same address";
    struct iovec to = {here, sizeof here}, from = {(void *)there, sizeof there};

    return process_vm_readv(getppid(), &to, 1, &from, 1, 0) < 0 ? -1 : 0;
}

static int new_user_namespace(void)
{
    return unshare(CLONE_NEWUSER);
}

static int other_personality(void)
{
    return personality(ADDR_NO_RANDOMIZE) < 0 ? -1 : 0;
}

static void set_user_id_file(const char *directory)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/.probe-suid-%d", directory, getpid());
    int fd = open(path, O_CREAT | O_WRONLY, 0700);
    tell("set-user-id-file", fd >= 0 && fchmod(fd, 04700) == 0);
    if (fd >= 0)
        close(fd);
    unlink(path);
}

static void network(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tell("network", fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    struct rlimit core;

    if (argc != 6 || !(out = fopen(argv[1], "w")))
        return 2;
    make_file("write-elsewhere", argv[3]);
    make_file("write-beside-the-database", argv[4]);
    open_file("read-homes", argv[5], O_RDONLY);
    open_file("kernel-log", "/dev/kmsg", O_RDONLY);
    open_file("process-1", "/proc/1/status", O_RDONLY);
    make_socket("family-unix", AF_UNIX, SOCK_STREAM);
    make_socket("family-inet6", AF_INET6, SOCK_STREAM);
    make_socket("family-netlink", AF_NETLINK, SOCK_RAW);
    memory();
    in_child("ptrace", be_traced);
    in_child("read-memory-of-others", read_parent);
    in_child("namespaces", new_user_namespace);
    in_child("personality", other_personality);
    set_user_id_file(argv[4]);
    tell("core-files", getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max > 0);
    network(atoi(argv[2]));
    return fclose(out) == 0 ? 0 : 1;
}
