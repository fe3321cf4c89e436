/*
 * Mistreats the library as a busy, careless host does, and holds it to its promises. One test for each run:
 *
 *     abuse guest | close | callbacks | events | memory COUNT | fork | random ACTIONS THREADS
 *
 * tests/abi/run starts the simulator, and a "person" who is spoken to through two pipes. Environment: SIMULATOR_DIR,
 * PERSON (to it), ANSWER (from it), SEED, SLOW (how much slower everything is, under valgrind).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "myq_exchange_online.h"

/* --- Telling ------------------------------------------------------------------------------------------------------ */

static FILE *told;      /* Our words go here; 1 and 2 belong to the library, which must leave them empty. */
static FILE *outputs;   /* What came on 1 and 2. */
static _Atomic int failures;
static double slow = 1;

static void __attribute__((format(printf, 2, 3))) check(bool good, const char *format, ...)
{
    va_list arguments;

    if (good) return;
    /* The first of many tell enough. */
    if (++failures > 8) return;
    va_start(arguments, format);
    flockfile(told);
    fprintf(told, "not ok - ");
    vfprintf(told, format, arguments);
    fprintf(told, "\n");
    fflush(told);
    funlockfile(told);
    va_end(arguments);
}

/* One line for what was held since the last one. */
static void __attribute__((format(printf, 1, 2))) held(const char *format, ...)
{
    static int before;
    va_list arguments;

    if (failures == before) {
        va_start(arguments, format);
        fprintf(told, "ok - ");
        vfprintf(told, format, arguments);
        fprintf(told, "\n");
        fflush(told);
        va_end(arguments);
    }
    before = failures;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pause_ms(unsigned ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR) { }
}

/* --- The process as others see it --------------------------------------------------------------------------------- */

/* How many threads run; those that are not the host's must be called mxo. A new one names itself: wait a little. */
static int threads(int own)
{
    char path[300], name[32], foreigner[32] = "";
    int count, foreign, tries;
    struct dirent *entry;
    DIR *folder;
    FILE *file;

    for (tries = 0, foreign = own + 1; tries < 20 && foreign > own; tries++) {
        if (tries > 0) pause_ms(5);
        folder = opendir("/proc/self/task");
        count = foreign = 0;
        while ((entry = readdir(folder)) != NULL) {
            if (entry->d_name[0] == '.') continue;
            count++;
            snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
            if ((file = fopen(path, "re")) == NULL) continue;
            if (fgets(name, sizeof name, file) != NULL && strncmp(name, "mxo", 3) != 0) {
                foreign++;
                if (atoi(entry->d_name) != getpid()) memcpy(foreigner, name, sizeof name);
            }
            fclose(file);
        }
        closedir(folder);
    }
    check(foreign <= own, "%d threads of the library are not called mxo: %s", foreign - own, foreigner);
    return count;
}

static void threads_end(int wanted)
{
    double until = now() + 8 * slow;

    while (threads(wanted) != wanted && now() < until) pause_ms(10);
    check(threads(wanted) == wanted, "%d threads run on, not %d", threads(wanted), wanted);
}

static int files(bool tell)
{
    DIR *folder = opendir("/proc/self/fd");
    char path[300], target[300];
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(folder)) != NULL) {
        count++;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        memset(target, 0, sizeof target);
        if (tell && readlink(path, target, sizeof target - 1) > 0) fprintf(told, "# %s is %s\n", entry->d_name, target);
    }
    closedir(folder);
    return count;
}

static long resident_kib(void)
{
    long pages = 0, all;
    FILE *file = fopen("/proc/self/statm", "r");

    if (fscanf(file, "%ld %ld", &all, &pages) != 2) pages = 0;
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* --- The simulator and its person --------------------------------------------------------------------------------- */

static char settings[4096], unreachable[4096], black_hole[4096];
static char client_id[64] = "b3d1f8a4-52c7-4d6e-8e0f-71a9c2e45b90";
static char tenant_id[64] = "6f1c0a52-8f5e-4c1b-9a55-2d9f4be0a7d1";

/* Asks the simulator by way of the person, and waits until it is done. */
static void __attribute__((format(printf, 1, 2))) person(const char *format, ...)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static FILE *to, *from;
    va_list arguments;
    char answer[1000];

    pthread_mutex_lock(&lock);
    if (to == NULL) {
        to = fopen(getenv("PERSON"), "we");
        from = fopen(getenv("ANSWER"), "re");
    }
    va_start(arguments, format);
    vfprintf(to, format, arguments);
    va_end(arguments);
    fprintf(to, "\n");
    fflush(to);
    if (fgets(answer, sizeof answer, from) == NULL || strncmp(answer, "ok", 2) != 0)
        check(strstr(answer, "HTTP 4") != NULL, "the person could not do it: %s", answer);
    pthread_mutex_unlock(&lock);
}

static void addresses(char *text, const char *identity)
{
    snprintf(text, sizeof settings,
             "{\"serves\": [\"smtp\"], \"cloud\": {\"authorization_endpoint\": \"%s/{tenant}/a\","
             "\"device_authorization_endpoint\": \"%s/{tenant}/d\", \"token_endpoint\": \"%s/{tenant}/t\","
             "\"scope_prefix\": \"https://outlook.office.com/\","
             "\"smtp\": {\"host\": \"localhost\", \"port\": 9, \"tls\": \"starttls\"},"
             "\"imap\": {\"host\": \"localhost\", \"port\": 9, \"tls\": \"implicit\"},"
             "\"pop3\": {\"host\": \"localhost\", \"port\": 9, \"tls\": \"implicit\"}}}",
             identity, identity, identity);
}

static void prepare(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int hole = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char path[1000];
    size_t read;
    FILE *file;

    snprintf(path, sizeof path, "%s/settings.json", getenv("SIMULATOR_DIR"));
    file = fopen(path, "r");
    read = fread(settings, 1, sizeof settings - 1, file);
    settings[read] = '\0';
    fclose(file);
    addresses(unreachable, "https://127.0.0.1:9");
    /* Takes connections and never says anything. */
    bind(hole, (struct sockaddr *)&address, sizeof address);
    listen(hole, 100);
    getsockname(hole, (struct sockaddr *)&address, &length);
    snprintf(path, sizeof path, "https://127.0.0.1:%d", ntohs(address.sin_port));
    addresses(black_hole, path);
    person("/set {\"interval_s\": 1}");
}

/* --- The library, said shortly ------------------------------------------------------------------------------------ */

static mxo_connector *open_connector(const char *directory)
{
    mxo_connector *connector = NULL;
    mxo_error *error = NULL;
    char options[600];
    mxo_status status;

    snprintf(options, sizeof options, "{\"proxy\": \"none\", \"tls_roots\": \"file\"%s%s%s}",
             directory ? ", \"data_directory\": \"" : "", directory ? directory : "", directory ? "\"" : "");
    status = mxo_connector_open(options, &connector, &error);
    check(status == MXO_OK, "open gave %d: %s", status, error ? mxo_error_message(error) : "");
    mxo_error_free(error);
    return connector;
}

static bool add_system(mxo_connector *connector, const char *with, char id[64])
{
    char *text = NULL;
    mxo_status status = mxo_system_add(connector, "Office", client_id, tenant_id, with, &text, NULL);

    if (status == MXO_OK) snprintf(id, 64, "%s", text);
    mxo_string_free(text);
    return status == MXO_OK;
}

static void say_yes(mxo_connector *connector, const char *system)
{
    mxo_device_code *code = NULL;
    mxo_error *error = NULL;
    mxo_status status = mxo_sign_in_code(connector, system, NULL, (uint32_t)(20000 * slow), &code, &error);

    check(status == MXO_OK, "no code: %d %s", status, error ? mxo_error_message(error) : "");
    if (status == MXO_OK) person("/approve {\"user_code\": \"%s\"}", mxo_device_code_user_code(code));
    mxo_device_code_free(code);
    mxo_error_free(error);
}

static void connect_system(mxo_connector *connector, const char *system)
{
    mxo_operation *operation = NULL;
    mxo_status status;

    mxo_sign_in_start(connector, system, NULL, NULL, NULL, NULL, &operation, NULL);
    say_yes(connector, system);
    status = mxo_operation_wait(operation, (uint32_t)(30000 * slow), NULL, NULL);
    check(status == MXO_OK, "the sign-in gave %d", status);
    mxo_operation_free(operation);
}

static mxo_mail *new_mail(void)
{
    mxo_mail *mail = NULL;

    mxo_mail_new(&mail, NULL);
    mxo_mail_add_recipient(mail, MXO_TO, "alice@contoso.example", "Alice", NULL);
    mxo_mail_set_subject(mail, "Your scan", NULL);
    mxo_mail_set_text(mail, "Here it is.", NULL);
    return mail;
}

/* Closes and gives the seconds that it took. */
static double closing(mxo_connector *connector)
{
    double start = now();

    mxo_connector_close(connector);
    return now() - start;
}

/* --- User data: each is handed over once, called while it lives, and dropped once --------------------------------- */

enum { DATA = 400000 };

enum life { UNUSED, LIVE, DROPPED };

static struct data {
    _Atomic int life, inside, silent;
    char *memory;        /* Freed by the drop: valgrind and malloc see a use after it. */
    int connector;       /* Slot of the connector, or -1. */
} all_data[DATA];        /* Never freed itself, so that a second drop is seen. */

static _Atomic int handed, dropped, called;

static struct data *hand_over(int connector)
{
    int index = handed++;

    if (index >= DATA) abort();
    all_data[index].memory = strdup("data");
    all_data[index].connector = connector;
    all_data[index].life = LIVE;
    return &all_data[index];
}

static void begin_call(struct data *data)
{
    called++;
    check(data->life == LIVE, "a call after drop_user_data");
    check(data->inside++ == 0, "two calls of one function at a time");
    check(!data->silent, "a call began after the operation was freed in its own call");
    if (data->life == LIVE) check(data->memory[0] == 'd', "the user data is damaged");
}

static void end_call(struct data *data)
{
    check(data->life == LIVE, "drop_user_data ran during a call");
    data->inside--;
}

static void drop_data(void *user_data)
{
    struct data *data = user_data;

    check(data->inside == 0, "drop_user_data ran during a call");
    if (atomic_exchange(&data->life, DROPPED) != LIVE) return check(false, "drop_user_data ran twice");
    free(data->memory);
    dropped++;
}

static void all_are_dropped(void)
{
    double until = now() + 8 * slow;

    while (dropped != handed && now() < until) pause_ms(10);
    check(dropped == handed, "%d user data handed over, %d dropped", handed, dropped);
}

/* --- random ------------------------------------------------------------------------------------------------------- */

enum { CONNECTORS = 12, SYSTEMS = 4, OPERATIONS = 48, EVENTS = 12, MAILS = 8, WORKERS = 16 };

static _Atomic(mxo_connector *) connectors[CONNECTORS];
static _Atomic(mxo_operation *) operations[OPERATIONS];
static _Atomic(mxo_events *) events[EVENTS];
static _Atomic(mxo_mail *) mails[MAILS];
static pthread_mutex_t systems_lock = PTHREAD_MUTEX_INITIALIZER;
static char systems[CONNECTORS][SYSTEMS][64];
/* Every fourth connector shares the first directory with one that stays open, and has two systems that are connected. */
static char steady[2][64];

static uint64_t seed;
static _Atomic uint64_t streams;
static __thread uint64_t state;
static _Atomic long actions, wanted_actions;
static _Atomic bool stopping;
static _Atomic int connected, sent, closes, slowest_close_ms, statuses[2000];
static const char *volatile doing[WORKERS];
static __thread int worker = -1;
static char directories[3][300];

static uint32_t any(uint32_t below)
{
    if (state == 0) state = seed * 0x9e3779b97f4a7c15u + ++streams * 0xbf58476d1ce4e5b9u + 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

static void at(const char *what)
{
    if (worker >= 0) doing[worker] = what;
}

static mxo_status seen(mxo_status status)
{
    if (status > -1000 && status < 1000) statuses[status + 1000]++;
    check(status != MXO_E_INTERNAL && status != MXO_E_FORKED, "status %d", status);
    return status;
}

/* A system to work with, or one to spoil. */
static void system_of(int slot, bool spoil, char id[64])
{
    bool good = slot % 4 == 0 && (spoil ? any(100) == 0 : any(3) != 0);

    pthread_mutex_lock(&systems_lock);
    memcpy(id, good ? steady[any(2)] : systems[slot][any(SYSTEMS)], 64);
    pthread_mutex_unlock(&systems_lock);
    if (id[0] == '\0') snprintf(id, 64, "none");
}

static void close_slot(int slot, mxo_connector *with)
{
    mxo_connector *old = atomic_exchange(&connectors[slot], with);
    double took;
    int ms, before;

    if (old == NULL) return;
    at("closing");
    took = closing(old);
    closes++;
    ms = (int)(took * 1000);
    before = slowest_close_ms;
    while (ms > before && !atomic_compare_exchange_weak(&slowest_close_ms, &before, ms)) { }
    check(took < 2 * slow, "a close took %.2f s", took);
}

static void any_system(int slot)
{
    char id[64];

    if (!add_system(connectors[slot], any(6) ? settings : any(2) ? unreachable : black_hole, id)) return;
    pthread_mutex_lock(&systems_lock);
    memcpy(systems[slot][any(SYSTEMS)], id, 64);
    pthread_mutex_unlock(&systems_lock);
}

static void open_slot(int slot)
{
    int index;

    close_slot(slot, open_connector(slot % 4 == 0 ? directories[0] : slot % 4 == 1 ? directories[1 + any(2)] : NULL));
    for (index = 0; index < SYSTEMS; index++) any_system(slot);
}

static void keep(mxo_operation *operation)
{
    mxo_operation_free(atomic_exchange(&operations[any(OPERATIONS)], operation));
}

static void act(bool in_call);
static void start_something(int slot, unsigned what);

/* What a careless host does inside its callbacks. */
static void mischief(struct data *data, mxo_operation *operation)
{
    mxo_status status;
    double start;

    switch (stopping ? 99 : any(24)) {
    case 0:
        mxo_operation_free(operation);
        data->silent = 1;
        break;
    case 1: mxo_operation_cancel(operation); break;
    case 2: if (any(8) == 0) close_slot(data->connector, NULL); break;
    case 3: start_something(data->connector, 0); break;
    case 4:
        start = now();
        status = mxo_operation_wait(operation, 3000, NULL, NULL);
        check(status != MXO_TIMEOUT && now() - start < 1 * slow, "a wait for itself gave %d after %.1f s", status, now() - start);
        break;
    case 5: case 6: act(true); break;
    case 7: pause_ms(any(20)); break;
    default: break;
    }
}

static void on_change(void *user_data, mxo_operation *operation, const mxo_value *change)
{
    struct data *data = user_data;
    const char *code;

    begin_call(data);
    check(mxo_value_kind(change, NULL) == MXO_KIND_OBJECT, "a change is no object");
    code = mxo_value_string(change, "/code/user_code");
    if (mxo_value_integer(change, "/status", -1) == MXO_OK) {
        if (mxo_value_string(change, "/state") != NULL) connected++;
    }
    if (code != NULL && !stopping && any(3) != 0) person("/approve {\"user_code\": \"%s\"}", code);
    mischief(data, operation);
    end_call(data);
}

static void on_line(void *user_data, int32_t level, const char *line)
{
    struct data *data = user_data;

    begin_call(data);
    check(level >= MXO_LOG_ERROR && level <= MXO_LOG_DEBUG && strlen(line) > 0, "a line of level %d", level);
    if (!stopping && any(8) == 0) act(true);
    end_call(data);
}

static void drop_with_mischief(void *user_data)
{
    drop_data(user_data);
    if (!stopping && any(32) == 0) mxo_operation_free(atomic_exchange(&operations[any(OPERATIONS)], NULL));
    if (!stopping && any(64) == 0) mxo_operation_cancel(operations[any(OPERATIONS)]);
    if (!stopping && any(300) == 0) close_slot((int)any(CONNECTORS), NULL);
}

static void start_something(int slot, unsigned what)
{
    static const char *const options[] = {NULL, "{\"if_pending\": \"join\"}", "{\"if_pending\": \"replace\"}", "{\"wrong\": 1}"};
    mxo_connector *connector = connectors[slot];
    mxo_operation *operation = NULL;
    struct data *data = hand_over(slot);
    char system[64];

    at("starting");
    system_of(slot, false, system);
    if (what == 0)
        seen(mxo_sign_in_start(connector, system, options[any(4) ? any(2) : any(4)], on_change, data, drop_with_mischief, &operation, NULL));
    else if (what == 1)
        seen(mxo_access_token_start(connector, system, any(9000), on_change, data, drop_with_mischief, &operation, NULL));
    else
        seen(mxo_send_start(connector, system, mails[any(MAILS)], any(4) ? on_change : NULL, data, drop_with_mischief,
                            &operation, NULL));
    keep(operation);
}

static void act(bool in_call)
{
    int slot = (int)any(CONNECTORS);
    mxo_connector *connector = connectors[slot];
    mxo_operation *operation = operations[any(OPERATIONS)];
    mxo_events *reader = NULL;
    mxo_device_code *code = NULL;
    mxo_value *value = NULL;
    mxo_error *error = NULL;
    mxo_mail *mail = NULL;
    char system[64], *text = NULL;
    uint32_t ms = any(in_call ? 3 : 10) * any(40), what = any(40);

    actions++;
    system_of(slot, what == 6 || what == 7 || what == 8 || what == 21, system);
    switch (what) {
    case 0: case 1:
        at("opening");
        if (in_call || (connector != NULL && any(4) != 0)) return;
        open_slot(slot);
        break;
    case 2: case 3: if (any(8) == 0) close_slot(slot, NULL); break;
    case 4: case 5: at("adding a system"); any_system(slot); break;
    case 6: case 7:
        at("removing a system");
        if (any(3) == 0) seen(mxo_system_remove(connector, system, &error));
        break;
    case 8:
        at("updating a system");
        seen(mxo_system_update(connector, system, any(4) ? "{\"title\": \"x\"}" : "{\"settings\": {\"sender\": \"a@b.example\"}}", &error));
        break;
    case 9:
        at("reading systems");
        seen(any(2) ? mxo_system_get(connector, system, &value, &error) : mxo_system_list(connector, &value, &error));
        break;
    case 10: case 11: case 12: case 13: case 14: start_something(slot, 0); break;
    case 15: case 16: start_something(slot, 1); break;
    case 17: case 18: start_something(slot, 2); break;
    case 19:
        at("waiting for a code");
        seen(mxo_sign_in_code(connector, system, NULL, ms, &code, &error));
        break;
    case 20:
        at("asking for a state");
        seen(mxo_sign_in_state(connector, system, NULL, ms, &value, &error));
        break;
    case 21:
        at("cancelling and signing out");
        if (any(4) == 0) seen(any(2) ? mxo_sign_in_cancel(connector, system, NULL, &error) : mxo_sign_out(connector, system, &error));
        break;
    case 22: case 23:
        at("asking for a token");
        seen(any(2) ? mxo_access_token(connector, system, any(9000), ms, &text, NULL, &error)
                    : mxo_xoauth2(connector, system, NULL, ms, &text, &error));
        break;
    case 24:
        at("sending");
        if (seen(mxo_send(connector, system, mails[any(MAILS)], in_call ? 20 : any(500), &value, &error)) == MXO_OK) sent++;
        break;
    case 25: case 26: case 27:
        at("waiting for an operation");
        seen(mxo_operation_wait(operation, ms, &value, &error));
        break;
    case 28: at("cancelling"); mxo_operation_cancel(operation); break;
    case 29: case 30: at("freeing an operation"); if (any(3) == 0) mxo_operation_free(operation); break;
    case 31:
        at("opening events");
        seen(mxo_events_open(connector, any(3) ? NULL : "{\"types\": [\"log\", \"completion\"], \"log_level\": \"debug\"}", &reader, &error));
        mxo_events_close(atomic_exchange(&events[any(EVENTS)], reader));
        break;
    case 32: case 33: case 34:
        at("reading events");
        seen(mxo_events_next(events[any(EVENTS)], ms, &value, &error));
        break;
    case 35: at("closing events"); if (any(8) == 0) mxo_events_close(events[any(EVENTS)]); break;
    case 36: case 37:
        at("setting a logger");
        seen(mxo_connector_set_logger(connector, (int32_t)any(6), any(5) ? on_line : NULL, hand_over(slot), drop_with_mischief, &error));
        break;
    case 38:
        at("making a mail");
        if (any(3) == 0) mxo_mail_clone(mails[any(MAILS)], &mail, NULL);
        else mail = new_mail();
        mxo_mail_free(atomic_exchange(&mails[any(MAILS)], mail));
        break;
    default: at("freeing a mail"); if (any(6) == 0) mxo_mail_free(mails[any(MAILS)]); break;
    }
    if (value != NULL) check(mxo_value_json(value) != NULL, "a value without JSON");
    if (code != NULL) check(mxo_device_code_user_code(code) != NULL, "a code without a code");
    if (error != NULL) check(mxo_error_json(error) != NULL && mxo_error_status(error) < 0, "an error without a status");
    mxo_device_code_free(code);
    mxo_error_free(error);
    mxo_value_free(value);
    mxo_string_free(text);
    at("between two actions");
}

static void *work(void *number)
{
    worker = (int)(intptr_t)number;
    while (actions < wanted_actions) {
        act(false);
        /* So that sign-ins get somewhere meanwhile, and calls meet in time. */
        if (any(2)) pause_ms(any(30));
    }
    doing[worker] = "done";
    return NULL;
}

static void hung(int signal)
{
    int index;

    (void)signal;
    fprintf(told, "not ok - it hangs (seed %llu, %ld actions):", (unsigned long long)seed, actions);
    for (index = 0; index < WORKERS; index++)
        if (doing[index] != NULL) fprintf(told, " [%s]", doing[index]);
    fprintf(told, "\n");
    fflush(told);
    abort();
}

static void test_random(long count, int workers)
{
    int before = threads(1), files_before, index;
    mxo_connector *keeper;
    pthread_t thread[WORKERS];
    double start = now();

    seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    fprintf(told, "# seed %llu\n", (unsigned long long)seed);
    fflush(told);
    /* Once, so that what the library keeps for the whole process does not count as a leak. */
    mxo_connector_close(open_connector(NULL));
    files_before = files(false);
    wanted_actions = count;
    for (index = 0; index < MAILS; index++) mails[index] = new_mail();
    for (index = 0; index < 3; index++) {
        snprintf(directories[index], sizeof directories[index], "%s/data%d", getenv("SIMULATOR_DIR"), index);
        mkdir(directories[index], 0700);
    }
    keeper = open_connector(directories[0]);
    for (index = 0; index < 2; index++) {
        add_system(keeper, settings, steady[index]);
        connect_system(keeper, steady[index]);
    }
    for (index = 0; index < CONNECTORS; index++) open_slot(index);
    for (index = 0; index < workers; index++) pthread_create(&thread[index], NULL, work, (void *)(intptr_t)index);
    for (index = 0; index < workers; index++) pthread_join(thread[index], NULL);
    stopping = true;
    worker = 0;
    for (index = 0; index < CONNECTORS; index++) close_slot(index, NULL);
    mxo_connector_close(keeper);
    for (index = 0; index < OPERATIONS; index++) mxo_operation_free(atomic_exchange(&operations[index], NULL));
    for (index = 0; index < EVENTS; index++) mxo_events_close(atomic_exchange(&events[index], NULL));
    for (index = 0; index < MAILS; index++) mxo_mail_free(atomic_exchange(&mails[index], NULL));
    worker = -1;
    held("%ld actions in %d threads in %.1f s; %d sign-ins connected, %d mails were sent", actions, workers, now() - start,
         connected, sent);
    all_are_dropped();
    held("%d user data, %d calls: each dropped once, none called after", dropped, called);
    threads_end(before);
    held("all threads are joined; %d closes, the slowest took %d ms", closes, slowest_close_ms);
    check(files(false) == files_before, "%d files are open, %d were before", files(files(false) != files_before), files_before);
    held("no file stays open");
    fprintf(told, "# statuses:");
    for (index = 0; index < 2000; index++)
        if (statuses[index] > 0) fprintf(told, " %s %d", mxo_status_name(index - 1000), statuses[index]);
    fprintf(told, "\n");
}

/* --- close -------------------------------------------------------------------------------------------------------- */

static _Atomic int stuck, freed;

static void stick(void *user_data, mxo_operation *operation, const mxo_value *change)
{
    (void)operation, (void)change;
    begin_call(user_data);
    stuck++;
    pause_ms(5000);
    end_call(user_data);
    freed++;
}

static void stick_line(void *user_data, int32_t level, const char *line)
{
    (void)level, (void)line;
    stick(user_data, NULL, NULL);
}

struct waiter {
    mxo_connector *connector;
    mxo_operation *operation;
    mxo_events *events;
    const char *system;
    mxo_status wanted, got;
    int what;
    double ended;
};

static void *wait_for_ever(void *argument)
{
    struct waiter *waiter = argument;
    mxo_device_code *code = NULL;
    mxo_value *value = NULL;
    char *token = NULL;

    switch (waiter->what) {
    case 0: waiter->got = mxo_operation_wait(waiter->operation, MXO_FOREVER, NULL, NULL); break;
    case 1:
        do {
            mxo_value_free(value);
            waiter->got = mxo_events_next(waiter->events, MXO_FOREVER, &value, NULL);
        } while (waiter->got == MXO_OK);
        break;
    case 2: waiter->got = mxo_sign_in_code(waiter->connector, waiter->system, NULL, MXO_FOREVER, &code, NULL); break;
    default: waiter->got = mxo_access_token(waiter->connector, waiter->system, 80000, MXO_FOREVER, &token, NULL, NULL); break;
    }
    waiter->ended = now();
    mxo_device_code_free(code);
    mxo_value_free(value);
    mxo_string_free(token);
    return NULL;
}

static void *close_it(void *connector)
{
    mxo_connector_close(connector);
    return NULL;
}

static void close_on_change(void *user_data, mxo_operation *operation, const mxo_value *change)
{
    struct data *data = user_data;
    double took;

    (void)operation, (void)change;
    begin_call(data);
    took = closing(connectors[data->connector]);
    check(took < 2 * slow, "a close in a callback took %.2f s", took);
    end_call(data);
    freed++;
}

static void nothing_on_change(void *user_data, mxo_operation *operation, const mxo_value *change)
{
    (void)operation, (void)change;
    begin_call(user_data);
    end_call(user_data);
}

static void close_on_drop(void *user_data)
{
    int slot = ((struct data *)user_data)->connector;
    double took;

    drop_data(user_data);
    took = closing(connectors[slot]);
    check(took < 2 * slow, "a close in drop_user_data took %.2f s", took);
    freed++;
}

static void until(_Atomic int *count, int wanted, const char *what)
{
    double until = now() + 20 * slow;

    while (*count < wanted && now() < until) pause_ms(5);
    check(*count >= wanted, "it never came to pass: %s", what);
}

static void test_close(void)
{
    mxo_connector *connector;
    mxo_operation *operation = NULL, *sending = NULL;
    mxo_events *reader = NULL;
    mxo_value *value = NULL;
    mxo_mail *mail;
    struct waiter waiters[4] = {{0}};
    pthread_t thread[4];
    char system[64], deaf[64];
    double took, start;
    int before = threads(1), index;
    mxo_status status;

    /* Callbacks that are stuck. */
    connector = open_connector(NULL);
    add_system(connector, settings, system);
    mxo_connector_set_logger(connector, MXO_LOG_DEBUG, stick_line, hand_over(-1), drop_data, NULL);
    mxo_sign_in_start(connector, system, NULL, stick, hand_over(-1), drop_data, &operation, NULL);
    until(&stuck, 2, "two callbacks are stuck");
    took = closing(connector);
    check(took < 2, "a close past stuck callbacks took %.2f s", took);
    status = mxo_operation_wait(operation, 0, NULL, NULL);
    check(status == MXO_E_CLOSED, "its sign-in gave %d, not MXO_E_CLOSED", status);
    mxo_operation_free(operation);
    until(&freed, 2, "the stuck callbacks end");
    all_are_dropped();
    threads_end(before);
    held("a close past two callbacks that are stuck for 5 s took %.0f ms; both ended and were dropped", took * 1000);

    /* Calls that wait for ever. */
    connector = open_connector(NULL);
    add_system(connector, settings, system);
    add_system(connector, black_hole, deaf);
    connect_system(connector, system);
    person("/misbehave {\"name\": \"delay\", \"ms\": 60000, \"at\": \"refresh\"}");
    mxo_sign_in_start(connector, deaf, NULL, NULL, NULL, NULL, &operation, NULL);
    mxo_events_open(connector, NULL, &reader, NULL);
    for (index = 0; index < 4; index++) {
        waiters[index] = (struct waiter){connector, operation, reader, index == 2 ? deaf : system,
                                         index == 1 ? MXO_END : MXO_E_CLOSED, 77, index, 0};
        pthread_create(&thread[index], NULL, wait_for_ever, &waiters[index]);
    }
    pause_ms(300);
    start = now();
    took = closing(connector);
    check(took < 2, "a close past waiting calls took %.2f s", took);
    for (index = 0; index < 4; index++) {
        pthread_join(thread[index], NULL);
        check(waiters[index].got == waiters[index].wanted, "waiting call %d gave %d, not %d", index, waiters[index].got,
              waiters[index].wanted);
        check(waiters[index].ended - start < 2, "waiting call %d returned %.1f s after the close", index,
              waiters[index].ended - start);
    }
    held("a close past four calls that wait for ever took %.0f ms; they gave MXO_E_CLOSED, the events MXO_END", took * 1000);

    /* What it gave still works, in any order. */
    check(mxo_operation_id(operation) > 0, "the operation lost its number");
    check(mxo_operation_wait(operation, 0, NULL, NULL) == MXO_E_CLOSED, "the operation lost its end");
    check(mxo_events_next(reader, 0, &value, NULL) == MXO_END, "the events do not end");
    check(mxo_system_list(connector, &value, NULL) == MXO_E_HANDLE, "a closed connector is a handle");
    mxo_connector_close(connector);
    mxo_events_close(reader);
    mxo_operation_free(operation);
    person("/behave {}");
    threads_end(before);
    held("what the connector gave can be read and freed after it, and closing twice is harmless");

    /* A mail whose final dot is not answered. */
    connector = open_connector(NULL);
    add_system(connector, settings, system);
    connect_system(connector, system);
    person("/misbehave {\"name\": \"withhold\", \"at\": \"smtp.body\"}");
    mail = new_mail();
    status = mxo_send_start(connector, system, mail, NULL, NULL, NULL, &sending, NULL);
    mxo_mail_free(mail);
    pause_ms(1500);
    check(mxo_operation_wait(sending, 0, NULL, NULL) == MXO_TIMEOUT, "the mail did not wait for its answer");
    took = closing(connector);
    status = mxo_operation_wait(sending, 0, NULL, NULL);
    check(status == MXO_E_SEND_UNKNOWN, "a mail in doubt ended with %d, not MXO_E_SEND_UNKNOWN", status);
    check(took < 2, "a close past a mail in doubt took %.2f s", took);
    mxo_operation_free(sending);
    person("/behave {}");
    threads_end(before);
    held("a close past a mail whose final dot is not answered took %.0f ms and tells MXO_E_SEND_UNKNOWN", took * 1000);

    /* From two threads, and from a callback and a drop, with the last connector. */
    for (index = 0; index < 20; index++) {
        connector = open_connector(NULL);
        pthread_create(&thread[0], NULL, close_it, connector);
        pthread_create(&thread[1], NULL, close_it, connector);
        pthread_join(thread[0], NULL);
        pthread_join(thread[1], NULL);
    }
    threads_end(before);
    held("twenty closes from two threads at once");
    for (index = 0; index < 21; index++) {
        /* In a call; in the drop after a call, on a thread of the library; in the drop of a start without a function. */
        static const mxo_operation_fn calls[] = {close_on_change, nothing_on_change, NULL};
        int done = freed;

        connectors[0] = connector = open_connector(NULL);
        add_system(connector, unreachable, system);
        mxo_access_token_start(connector, system, 0, calls[index % 3], hand_over(0), index % 3 ? close_on_drop : drop_data,
                               &operation, NULL);
        until(&freed, done + 1, "a close from a callback");
        mxo_operation_free(operation);
        operation = NULL;
    }
    all_are_dropped();
    threads_end(before);
    held("21 closes of the last connector from a callback or drop_user_data; its threads end");
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

/* Works with a connector as a host would anywhere: begins a sign-in that cannot work, and waits for its end. */
static void must_work(int slot, const char *where)
{
    mxo_operation *operation = NULL;
    mxo_status status = mxo_sign_in_start(connectors[slot], systems[slot][0], NULL, NULL, NULL, NULL, &operation, NULL);
    double start = now();

    check(status == MXO_OK, "%s: a start gave %d", where, status);
    status = mxo_operation_wait(operation, (uint32_t)(4000 * slow), NULL, NULL);
    check(status == MXO_E_NETWORK, "%s: the sign-in of another connector gave %d after %.1f s, not MXO_E_NETWORK: is a lock held?",
          where, status, now() - start);
    mxo_operation_free(operation);
    freed++;
}

static void work_on_drop(void *user_data)
{
    drop_data(user_data);
    must_work(1, "in drop_user_data");
}

static void work_on_line(void *user_data, int32_t level, const char *line)
{
    static _Atomic int lines;

    (void)level, (void)line;
    begin_call(user_data);
    if (lines++ == 0) must_work(1, "in a logger");
    end_call(user_data);
}

static void work_on_change(void *user_data, mxo_operation *operation, const mxo_value *change)
{
    (void)operation, (void)change;
    begin_call(user_data);
    must_work(1, "in a callback");
    end_call(user_data);
}

static void ask_on_change(void *user_data, mxo_operation *operation, const mxo_value *change)
{
    struct data *data = user_data;
    char *token = NULL;
    mxo_status status;

    (void)operation, (void)change;
    begin_call(data);
    status = mxo_access_token(connectors[0], systems[0][0], 0, (uint32_t)(5000 * slow), &token, NULL, NULL);
    check(status == MXO_E_SIGN_IN_REQUIRED, "one of many callbacks asked for a token and got %d", status);
    end_call(data);
}

static void test_callbacks(void)
{
    static mxo_operation *many[300];
    mxo_operation *operation = NULL;
    char folder[1000];
    int index, done;
    double start;

    snprintf(folder, sizeof folder, "%s/callbacks", getenv("SIMULATOR_DIR"));
    mkdir(folder, 0700);
    for (index = 0; index < 2; index++) {
        connectors[index] = open_connector(folder);
        add_system(connectors[index], unreachable, systems[index][0]);
    }
    /* The other connector's log goes through the one that is closed or changed meanwhile. */
    mxo_connector_set_logger(connectors[0], MXO_LOG_DEBUG, work_on_line, hand_over(0), work_on_drop, NULL);
    must_work(0, "the first");
    until(&freed, 2, "a logger works");
    mxo_connector_set_logger(connectors[0], MXO_LOG_DEBUG, work_on_line, hand_over(0), work_on_drop, NULL);
    until(&freed, 3, "a logger is dropped");
    held("a logger and the drop of one that is replaced can work with another connector");
    done = freed;
    mxo_access_token_start(connectors[0], systems[0][0], 0, work_on_change, hand_over(0), work_on_drop, &operation, NULL);
    until(&freed, done + 2, "an operation's function works");
    mxo_operation_free(operation);
    held("so can an operation's function and its drop");
    done = freed;
    mxo_connector_close(connectors[0]);
    until(&freed, done + 1, "the logger of a closed connector is dropped");
    all_are_dropped();
    mxo_connector_close(connectors[1]);
    held("so can the drop of the logger of a connector that is closed");

    connectors[0] = open_connector(NULL);
    add_system(connectors[0], unreachable, systems[0][0]);
    start = now();
    for (index = 0; index < 300; index++) {
        mxo_access_token_start(connectors[0], systems[0][0], 0, ask_on_change, hand_over(0), drop_data, &operation, NULL);
        many[index] = operation;
    }
    all_are_dropped();
    for (index = 0; index < 300; index++) mxo_operation_free(many[index]);
    mxo_connector_close(connectors[0]);
    held("300 callbacks at once that each ask for a token got their answers in %.1f s", now() - start);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

enum { UPDATES = 1000, STARTS = 300, ALL = UPDATES + STARTS };

struct reader {
    mxo_events *events;
    int count;
    int64_t ids[2 * ALL];
};

static void *read_all(void *argument)
{
    struct reader *reader = argument;
    mxo_value *value = NULL;

    while (reader->count < 2 * ALL && mxo_events_next(reader->events, (uint32_t)(500 * slow), &value, NULL) == MXO_OK) {
        check(strcmp(mxo_value_string(value, "/type"), "lost") != 0, "an event was lost below the bound");
        reader->ids[reader->count++] = mxo_value_integer(value, "/operation_id", 0);
        mxo_value_free(value);
    }
    return NULL;
}

/* How often a reader was told of the end of an operation; 0 stands for the other events. */
static int times(const struct reader *reader, int64_t id)
{
    int found = 0, index;

    for (index = 0; index < reader->count; index++) found += reader->ids[index] == id;
    return found;
}

static void test_events(void)
{
    static struct reader readers[4];
    static mxo_operation *started[STARTS];
    mxo_connector *connector = open_connector(NULL), *other = open_connector(NULL);
    mxo_events *stranger = NULL;
    mxo_value *value = NULL;
    pthread_t thread[4];
    char system[64];
    int index, number;

    add_system(connector, unreachable, system);
    mxo_events_open(connector, NULL, &readers[0].events, NULL);
    mxo_events_open(connector, NULL, &readers[1].events, NULL);
    mxo_events_open(connector, NULL, &readers[2].events, NULL);
    readers[3].events = readers[2].events;
    mxo_events_open(other, NULL, &stranger, NULL);
    /* One reads while it happens, one afterwards; the last two share. */
    pthread_create(&thread[0], NULL, read_all, &readers[0]);
    for (index = 0; index < UPDATES; index++) {
        check(mxo_system_update(connector, system, "{\"title\": \"x\"}", NULL) == MXO_OK, "update");
        if (index < STARTS) mxo_access_token_start(connector, system, 0, NULL, NULL, NULL, &started[index], NULL);
    }
    for (index = 1; index < 4; index++) pthread_create(&thread[index], NULL, read_all, &readers[index]);
    for (index = 0; index < 4; index++) pthread_join(thread[index], NULL);
    for (index = 0; index < 2; index++) {
        check(times(&readers[index], 0) == UPDATES, "reader %d got %d changes of %d", index, times(&readers[index], 0), UPDATES);
        for (number = 0; number < STARTS; number++)
            check(times(&readers[index], mxo_operation_id(started[number])) == 1, "reader %d: a completion did not come once", index);
    }
    check(readers[2].count + readers[3].count == ALL, "two who share got %d and %d events of %d", readers[2].count,
          readers[3].count, ALL);
    held("two subscriptions get each of %d events once; two who share one get them together", ALL);
    check(mxo_events_next(stranger, 0, &value, NULL) == MXO_TIMEOUT, "a connector hears of another's");
    for (index = 0; index < STARTS; index++) mxo_operation_free(started[index]);
    mxo_connector_close(connector);
    mxo_connector_close(other);
    for (index = 0; index < 3; index++) {
        check(mxo_events_next(readers[index].events, 1000, &value, NULL) == MXO_END, "no MXO_END after the close");
        mxo_events_close(readers[index].events);
    }
    mxo_events_close(stranger);
    held("another connector hears nothing; after the close there is MXO_END");
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Changes and completions; an operation is freed when its completion has come. */
static void much(mxo_connector *connector, const char *system, int count)
{
    mxo_operation *batch[64] = {NULL};
    int index;

    for (index = 0; index < count; index++) {
        mxo_operation **next = &batch[index % 64];

        if (*next != NULL) mxo_operation_wait(*next, MXO_FOREVER, NULL, NULL);
        mxo_operation_free(*next);
        *next = NULL;
        mxo_system_update(connector, system, "{\"title\": \"x\"}", NULL);
        mxo_access_token_start(connector, system, 0, NULL, NULL, NULL, next, NULL);
    }
    for (index = 0; index < 64; index++) mxo_operation_free(batch[index]);
}

static void test_memory(int count)
{
    enum { HANDLES = 65536 };
    static mxo_operation *kept[HANDLES + 1];
    mxo_connector *connector = open_connector(NULL);
    mxo_events *never = NULL, *log = NULL;
    mxo_value *value = NULL;
    char system[64];
    long before, after;
    int limit = 0, events_count = 0;
    double start;

    add_system(connector, unreachable, system);
    mxo_events_open(connector, NULL, &never, NULL);
    mxo_events_open(connector, "{\"types\": [\"log\", \"system\"], \"log_level\": \"debug\"}", &log, NULL);
    much(connector, system, count / 10);
    before = resident_kib();
    much(connector, system, count);
    after = resident_kib();
    check(after - before < 8192, "%d events and as many completions that nobody reads cost %ld KiB", count, after - before);
    held("%d events and as many completions that nobody reads cost %ld KiB", count, after - before);
    check(mxo_events_next(never, 0, &value, NULL) == MXO_OK && strcmp(mxo_value_string(value, "/type"), "lost") == 0
          && mxo_value_integer(value, "/count", 0) > count, "the reader is not told how many were lost");
    mxo_value_free(value);
    while (mxo_events_next(never, 0, &value, NULL) == MXO_OK) {
        mxo_value_free(value);
        events_count++;
    }
    check(events_count >= 1024 && events_count <= 4096, "%d events were kept", events_count);
    held("the reader is told how many were lost, and gets the newest %d", events_count);

    /* Operations that are never freed end at a limit, and not at the end of memory. */
    while (limit <= HANDLES && mxo_access_token_start(connector, system, 0, NULL, NULL, NULL, &kept[limit], NULL) == MXO_OK)
        limit++;
    check(limit > HANDLES - 1000 && limit <= HANDLES, "%d operations without a free", limit);
    check(mxo_access_token_start(connector, system, 0, NULL, NULL, NULL, &kept[HANDLES], NULL) == MXO_E_LIMIT,
          "no MXO_E_LIMIT");
    events_count = limit;
    while (limit-- > 0) mxo_operation_free(kept[limit]);
    /* Freed, they still run to their end. */
    start = now();
    while (mxo_access_token_start(connector, system, 0, NULL, NULL, NULL, &kept[0], NULL) == MXO_E_LIMIT && now() - start < 10)
        pause_ms(10);
    check(kept[0] != NULL, "no way back from the limit");
    mxo_operation_free(kept[0]);
    mxo_events_close(never);
    mxo_events_close(log);
    mxo_connector_close(connector);
    held("%d operations that are never freed meet MXO_E_LIMIT; freeing them helps", events_count);
}

/* --- fork --------------------------------------------------------------------------------------------------------- */

static void *keep_busy(void *argument)
{
    mxo_connector *connector = argument;
    mxo_value *value = NULL;

    while (!stopping) {
        mxo_system_list(connector, &value, NULL);
        mxo_value_free(value);
    }
    return NULL;
}

/* In a child: asks for a status, a getter, a close. */
static int in_child(mxo_connector *connector, mxo_operation *operation, mxo_events *reader, const char *system)
{
    mxo_value *value = NULL;
    mxo_error *error = NULL;
    mxo_connector *mine = NULL;
    mxo_mail *mail = NULL;

    alarm(5);
    if (mxo_connector_open(NULL, &mine, &error) != MXO_E_FORKED) return 1;
    if (mxo_system_get(connector, system, &value, &error) != MXO_E_FORKED) return 2;
    if (mxo_operation_wait(operation, MXO_FOREVER, &value, &error) != MXO_E_FORKED) return 3;
    if (mxo_events_next(reader, MXO_FOREVER, &value, &error) != MXO_E_FORKED) return 4;
    if (mxo_mail_new(&mail, &error) != MXO_E_FORKED) return 5;
    if (mxo_operation_id(operation) != 0) return 6;
    mxo_operation_cancel(operation);
    mxo_operation_free(operation);
    mxo_events_close(reader);
    mxo_connector_close(connector);
    return 0;
}

static int wait_child(pid_t child)
{
    int status = 0;

    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_fork(void)
{
    mxo_connector *connector;
    mxo_operation *operation = NULL;
    mxo_events *reader = NULL;
    mxo_value *value = NULL;
    pthread_t thread[3];
    char system[64];
    pid_t child;
    int index, gave;

    if ((child = fork()) == 0) {
        alarm(10);
        connector = open_connector(NULL);
        gave = add_system(connector, unreachable, system) && mxo_system_list(connector, &value, NULL) == MXO_OK ? 0 : 1;
        mxo_value_free(value);
        mxo_connector_close(connector);
        _exit(failures ? 2 : gave);
    }
    gave = wait_child(child);
    check(gave == 0, "a child of a process that only loaded the library: %d", gave);
    held("a child that was forked when the library was only loaded can open it");

    connector = open_connector(NULL);
    add_system(connector, black_hole, system);
    mxo_events_open(connector, NULL, &reader, NULL);
    mxo_sign_in_start(connector, system, NULL, NULL, NULL, NULL, &operation, NULL);
    for (index = 0; index < 3; index++) pthread_create(&thread[index], NULL, keep_busy, connector);
    for (index = 0; index < 100; index++) {
        if ((child = fork()) == 0) _exit(in_child(connector, operation, reader, system));
        gave = wait_child(child);
        check(gave == 0, "child %d gave %d%s", index, gave, gave == 1014 ? ": it hung" : "");
    }
    stopping = true;
    for (index = 0; index < 3; index++) pthread_join(thread[index], NULL);
    held("a hundred children, forked while three threads were in the library, get MXO_E_FORKED and do not hang");
    check(mxo_system_get(connector, system, &value, NULL) == MXO_OK, "the parent cannot go on");
    check(mxo_operation_id(operation) > 0, "a child freed the parent's operation");
    mxo_value_free(value);
    mxo_operation_free(operation);
    mxo_events_close(reader);
    mxo_connector_close(connector);
    held("the parent goes on");
}

/* --- guest -------------------------------------------------------------------------------------------------------- */

static void handlers(struct sigaction all[65])
{
    int number;

    memset(all, 0, 65 * sizeof all[0]);
    for (number = 1; number <= 64; number++) sigaction(number, NULL, &all[number]);
}

static void handlers_are(const struct sigaction before[65], const char *when)
{
    struct sigaction after[65];
    sigset_t mask;
    int number;

    handlers(after);
    for (number = 1; number <= 64; number++)
        check(before[number].sa_handler == after[number].sa_handler && before[number].sa_flags == after[number].sa_flags,
              "signal %d is handled otherwise %s", number, when);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (number = 1; number <= 64; number++) check(sigismember(&mask, number) != 1, "signal %d is blocked %s", number, when);
}

static size_t environment(char *text, size_t room)
{
    extern char **environ;
    char **entry;
    size_t used = 0;

    for (entry = environ; *entry != NULL; entry++) used += (size_t)snprintf(text + used, room - used, "%s\n", *entry);
    return used;
}

static void test_guest(const struct sigaction before[65])
{
    static char first[65536], second[65536], folder[2][1000];
    mxo_connector *connector;
    mxo_value *value = NULL;
    mxo_error *error = NULL;
    mxo_mail *mail;
    char system[64], *locale = strdup(setlocale(LC_ALL, NULL));
    int running, index;
    mode_t mask = umask(022);

    umask(mask);
    environment(first, sizeof first);
    (void)!getcwd(folder[0], sizeof folder[0]);
    check(threads(1) == 1, "threads run before anything was called");
    mxo_descriptor(&value, NULL);
    mxo_value_free(value);
    mail = new_mail();
    check(mxo_connector_open("nonsense", &connector, &error) == MXO_E_ARGUMENT, "nonsense was taken");
    mxo_error_free(error);
    check(threads(1) == 1, "threads run before the first open");
    handlers_are(before, "before the first open");
    held("no thread before the first open");

    for (index = 0; index < 5; index++) {
        connector = open_connector(NULL);
        add_system(connector, settings, system);
        if (index == 0) {
            connect_system(connector, system);
            check(mxo_send(connector, system, mail, (uint32_t)(20000 * slow), NULL, &error) == MXO_OK, "the mail was not sent: %s",
                  error ? mxo_error_message(error) : "");
            mxo_error_free(error);
        }
        running = threads(1);
        check(running > 1 && running < 16, "%d threads", running);
        handlers_are(before, "while open");
        mxo_connector_close(connector);
        check(threads(1) == 1, "%d threads after the last close", threads(1) - 1);
    }
    mxo_mail_free(mail);
    held("few threads while it is open, all called mxo, all joined when the last close returns (5 times)");
    handlers_are(before, "at the end");
    held("no signal is handled otherwise or blocked");
    environment(second, sizeof second);
    check(strcmp(first, second) == 0, "the environment was changed");
    check(strcmp(locale, setlocale(LC_ALL, NULL)) == 0, "the locale was changed");
    (void)!getcwd(folder[1], sizeof folder[1]);
    check(strcmp(folder[0], folder[1]) == 0, "the working directory was changed");
    check(umask(mask) == mask, "the umask was changed");
    held("environment, locale, working directory and umask are as before");
    free(locale);
}

/* ------------------------------------------------------------------------------------------------------------------ */

/* What the library writes on 1 and 2 is caught; a sanitizer writes there too, so not always. */
static void catch_outputs(void)
{
    told = fdopen(fcntl(1, F_DUPFD_CLOEXEC, 100), "w");
    if (getenv("NOT_CAUGHT") != NULL) return;
    outputs = tmpfile();
    dup2(fileno(outputs), 1);
    dup2(fileno(outputs), 2);
}

static void nothing_was_written(void)
{
    char text[200] = "";

    if (outputs == NULL) return;
    fflush(stdout);
    rewind(outputs);
    check(fread(text, 1, sizeof text - 1, outputs) == 0, "the library wrote on stdout or stderr: %s", text);
    held("nothing on stdout and stderr");
}

int main(int count, char **arguments)
{
    struct sigaction before[65];
    const char *test = count > 1 ? arguments[1] : "";

    handlers(before);
    catch_outputs();
    slow = getenv("SLOW") ? atof(getenv("SLOW")) : 1;
    if (strcmp(test, "guest") != 0) {
        signal(SIGALRM, hung);
        /* A long run has more time; so much that only a hang meets it. */
        alarm((unsigned)(100 * (slow > 1 ? 2 : 1) + (count > 2 ? atol(arguments[2]) / 200 : 0)));
    }
    prepare();
    if (strcmp(test, "guest") == 0) test_guest(before);
    else if (strcmp(test, "close") == 0) test_close();
    else if (strcmp(test, "callbacks") == 0) test_callbacks();
    else if (strcmp(test, "events") == 0) test_events();
    else if (strcmp(test, "memory") == 0) test_memory(atoi(arguments[2]));
    else if (strcmp(test, "fork") == 0) test_fork();
    else if (strcmp(test, "random") == 0) test_random(atol(arguments[2]), atoi(arguments[3]));
    else check(false, "no such test: %s", test);
    nothing_was_written();
    return failures != 0;
}
