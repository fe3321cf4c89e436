/*
 * A host that, unlike a Rust program, does nothing about signals: the library must not let one end it, must not take
 * one away from it, and must not run its handlers on threads that the host does not know.
 *
 *     signals SETTINGS_JSON CLIENT_ID TENANT_ID APPROVE ATTACHMENT
 *
 * The simulator must be told beforehand to drop the connection in the middle of the mail's body.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "myq_exchange_online.h"

static int failed;
static pid_t main_thread;
static volatile sig_atomic_t on_main, elsewhere;
static sigset_t mask_in_callback;
static volatile sig_atomic_t callback_ran, dropped;

static void check(const char *what, int good) {
    printf("%s - %s\n", good ? "ok" : "not ok", what);
    failed |= !good;
}

static void count(int signal) {
    (void)signal;
    if ((pid_t)syscall(SYS_gettid) == main_thread)
        on_main++;
    else
        elsewhere++;
}

static void on_change(void *user_data, mxo_operation *operation, const mxo_value *change) {
    (void)user_data, (void)operation, (void)change;
    pthread_sigmask(SIG_SETMASK, NULL, &mask_in_callback);
    callback_ran = 1;
}

static void on_drop(void *user_data) {
    (void)user_data;
    dropped = 1;
}

static int same_mask(const sigset_t *one, const sigset_t *other) {
    int number;
    for (number = 1; number < 32; number++)
        if (sigismember(one, number) != sigismember(other, number))
            return 0;
    return 1;
}

int main(int argc, char **argv) {
    mxo_connector *connector = NULL;
    mxo_operation *operation = NULL;
    mxo_device_code *code = NULL;
    mxo_mail *mail = NULL;
    mxo_error *error = NULL;
    char *system_id = NULL, command[4096];
    struct sigaction before[32], after[32], handler;
    sigset_t mask;
    mxo_status status;
    int number, unchanged = 1, sent;

    if (argc != 6)
        return 2;
    main_thread = (pid_t)syscall(SYS_gettid);
    memset(&handler, 0, sizeof handler);
    handler.sa_handler = count;
    handler.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &handler, NULL);
    for (number = 1; number < 32; number++)
        sigaction(number, NULL, &before[number]);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);

    mxo_connector_open("{\"proxy\": \"none\"}", &connector, NULL);
    mxo_system_add(connector, "system", argv[2], argv[3], argv[1], &system_id, NULL);
    mxo_sign_in_start(connector, system_id, NULL, on_change, NULL, on_drop, &operation, NULL);
    if (mxo_sign_in_code(connector, system_id, NULL, 20000, &code, NULL) != MXO_OK)
        return 2;
    snprintf(command, sizeof command, "%s %s %s", argv[4], mxo_device_code_verification_uri(code),
             mxo_device_code_user_code(code));
    if (system(command) != 0)
        return 2;
    check("the host is connected", mxo_operation_wait(operation, 60000, NULL, NULL) == MXO_OK);
    check("a callback runs with the host's signal mask", callback_ran && same_mask(&mask, &mask_in_callback));

    /* A callback is the host's own code and takes the host's signals: wait until the last one is over. */
    for (number = 0; number < 1000 && !dropped; number++)
        usleep(10000);
    usleep(50000);
    for (sent = 0; sent < 2000; sent++)
        kill(getpid(), SIGUSR1);
    usleep(10000);
    check("the host's handlers run on the host's threads", on_main > 0 && elsewhere == 0);

    mxo_mail_new(&mail, NULL);
    mxo_mail_add_recipient(mail, MXO_TO, "alice@contoso.example", NULL, NULL);
    mxo_mail_attach_file(mail, argv[5], NULL, NULL, NULL);
    status = mxo_send(connector, system_id, mail, 60000, NULL, &error);
    check("a connection that breaks in the middle of a mail is an error, and not the host's end by SIGPIPE",
          status < 0 && status != MXO_E_SEND_UNKNOWN && error != NULL);

    for (number = 1; number < 32; number++) {
        sigaction(number, NULL, &after[number]);
        unchanged &= before[number].sa_handler == after[number].sa_handler;
    }
    check("no signal handler was changed", unchanged);

    mxo_error_free(error);
    mxo_mail_free(mail);
    mxo_device_code_free(code);
    mxo_operation_free(operation);
    mxo_string_free(system_id);
    mxo_connector_close(connector);
    return failed;
}
