/*
 * A host that loads the library by itself, as a plug-in loader does: dlopen, work, dlclose, ten times. Arguments: the
 * library.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "myq_exchange_online.h"

static const char settings[] =
    "{\"serves\": [\"smtp\"], \"cloud\": {\"authorization_endpoint\": \"https://127.0.0.1:9/a\","
    "\"device_authorization_endpoint\": \"https://127.0.0.1:9/d\", \"token_endpoint\": \"https://127.0.0.1:9/t\","
    "\"scope_prefix\": \"https://outlook.office.com/\", \"smtp\": {\"host\": \"localhost\", \"port\": 9, \"tls\": \"starttls\"},"
    "\"imap\": {\"host\": \"localhost\", \"port\": 9, \"tls\": \"implicit\"},"
    "\"pop3\": {\"host\": \"localhost\", \"port\": 9, \"tls\": \"implicit\"}}}";

static int failures;

static void check(int good, int round, const char *what)
{
    if (!good) printf("not ok - round %d: %s\n", round, what), failures++;
}

static int threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    int count = -2; /* . and .. */

    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

int main(int count, char **arguments)
{
    struct sigaction before[65], after;
    int round, number;

    (void)count;
    alarm(60);
    for (number = 1; number <= 64; number++) sigaction(number, NULL, &before[number]);
    for (round = 0; round < 10; round++) {
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        __typeof__(mxo_connector_open) *open_connector;
        __typeof__(mxo_connector_close) *close_connector;
        __typeof__(mxo_system_add) *add;
        __typeof__(mxo_sign_in_start) *start;
        __typeof__(mxo_operation_wait) *wait;
        __typeof__(mxo_operation_free) *free_operation;
        __typeof__(mxo_string_free) *free_text;
        mxo_connector *connector = NULL;
        mxo_operation *operation = NULL;
        char *system = NULL;
        mxo_status status;

        check(library != NULL, round, "dlopen");
        if (library == NULL) return 1;
        *(void **)&open_connector = dlsym(library, "mxo_connector_open");
        *(void **)&close_connector = dlsym(library, "mxo_connector_close");
        *(void **)&add = dlsym(library, "mxo_system_add");
        *(void **)&start = dlsym(library, "mxo_sign_in_start");
        *(void **)&wait = dlsym(library, "mxo_operation_wait");
        *(void **)&free_operation = dlsym(library, "mxo_operation_free");
        *(void **)&free_text = dlsym(library, "mxo_string_free");

        check(threads() == 1, round, "threads run before the open");
        check(open_connector("{\"proxy\": \"none\"}", &connector, NULL) == MXO_OK, round, "open");
        status = add(connector, "Office", "b3d1f8a4-52c7-4d6e-8e0f-71a9c2e45b90", "contoso.example", settings, &system, NULL);
        check(status == MXO_OK, round, "add");
        check(start(connector, system, NULL, NULL, NULL, NULL, &operation, NULL) == MXO_OK, round, "start");
        status = wait(operation, 20000, NULL, NULL);
        check(status == MXO_E_NETWORK, round, "the sign-in ends without a network");
        free_operation(operation);
        free_text(system);
        /* Every third host unloads before it closes: the threads then run in code that must have stayed. */
        if (round % 3 == 2) check(dlclose(library) == 0, round, "dlclose"), usleep(20000);
        close_connector(connector);
        if (round % 3 != 2) check(dlclose(library) == 0, round, "dlclose");
        check(threads() == 1, round, "threads run after the close");
        library = dlopen(arguments[1], RTLD_NOW | RTLD_NOLOAD);
        check(library != NULL, round, "it was unloaded");
        if (library != NULL) dlclose(library);
    }
    for (number = 1; number <= 64; number++) {
        sigaction(number, NULL, &after);
        check(after.sa_handler == before[number].sa_handler, round, "a signal is handled otherwise");
    }
    if (failures == 0) printf("ok - ten times dlopen, work, dlclose\n");
    return failures != 0;
}
