/*
 * A host in C: does the main job as a print server would, and is meant to be read. It looks at each status, and frees
 * whatever it was handed out, also when something fails. What it reads from the environment and prints: see ../run.
 *
 *     gcc -std=c99 -Iinclude host.c -lmyq_exchange_online -pthread
 *
 * The pattern of every step: go on while all is well, free at the end in any case, give back the status.
 */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "myq_exchange_online.h"
#include "person.h"

/* A fault that this host finds by itself; the library's statuses begin at 100. */
#define HOST_FAULT (-1)

#define A_MINUTE_MS 60000

/* What our function for sign-ins is given. The library tells when it needs it no longer, on a thread of its own. */
struct screen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int codes_shown;
    int given;
    int released;
};

struct host {
    mxo_connector *connector;
    char *system;
    struct screen *screen;
};

/* A variable of the environment; NULL when it is not set or empty. */
static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

static const char *or_dash(const char *text)
{
    return text != NULL ? text : "-";
}

static mxo_status fault(const char *what)
{
    printf("failed host: %s\n", what);
    return HOST_FAULT;
}

/* --- Functions that the library calls, on its own threads --- */

static void log_line(void *user_data, int32_t level, const char *message)
{
    fprintf((FILE *)user_data, "log %d: %s\n", (int)level, message);
}

static void show_code(void *user_data, mxo_operation *sign_in, const mxo_value *change)
{
    struct screen *screen = user_data;
    const char *state = mxo_value_string(change, "/state");
    const char *link = mxo_value_string(change, "/code/verification_uri");
    const char *code = mxo_value_string(change, "/code/user_code");

    if (state == NULL || strcmp(state, "code_waiting") != 0)
        return;
    printf("code %s\nlink %s\n", or_dash(code), or_dash(link));
    fflush(stdout);
    pthread_mutex_lock(&screen->lock);
    screen->codes_shown++;
    pthread_mutex_unlock(&screen->lock);
    /* The texts live until this function returns, which may take its time. */
    if (person_confirms(link, code) != 0) {
        fprintf(stderr, "MXO_APPROVE failed\n");
        mxo_operation_cancel(sign_in);
    }
}

static void release_screen(void *user_data)
{
    struct screen *screen = user_data;

    pthread_mutex_lock(&screen->lock);
    screen->released++;
    pthread_cond_signal(&screen->changed);
    pthread_mutex_unlock(&screen->lock);
}

/* Whoever frees what a callback uses must have seen it released before; here 10 s are plenty. */
static mxo_status wait_for_release(struct screen *screen)
{
    struct timespec until;
    int timed_out = 0, released;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&screen->lock);
    while (screen->released == 0 && !timed_out)
        timed_out = pthread_cond_timedwait(&screen->changed, &screen->lock, &until) != 0;
    released = screen->released;
    pthread_mutex_unlock(&screen->lock);
    return released == 1 ? MXO_OK : fault("the sign-in's user data was not released");
}

/* --- The steps --- */

static mxo_status open_connector(struct host *host, mxo_error **error)
{
    const char *log = setting("MXO_LOG");
    mxo_status status = mxo_connector_open(setting("MXO_OPTIONS"), &host->connector, error);

    if (status == MXO_OK && log != NULL)
        status = mxo_connector_set_logger(host->connector, atoi(log), log_line, stderr, NULL, error);
    return status;
}

static mxo_status sign_in(struct host *host, mxo_error **error)
{
    mxo_operation *operation = NULL;
    mxo_status status;

    host->screen->given = 1;
    status = mxo_sign_in_start(host->connector, host->system, NULL, show_code, host->screen, release_screen, &operation,
                               error);
    if (status == MXO_OK)
        status = mxo_operation_wait(operation, MXO_FOREVER, NULL, error);
    mxo_operation_free(operation);
    return status;
}

/* As whom the system is connected, and which protocols refused although the sign-in worked. */
static mxo_status tell_connection(struct host *host, mxo_error **error)
{
    mxo_value *system = NULL;
    mxo_status status = mxo_system_get(host->connector, host->system, &system, error);

    if (status == MXO_OK) {
        printf("connected %s\n", or_dash(mxo_value_string(system, "/status/login_name")));
        for (size_t i = 0; i < mxo_value_count(system, "/status/warnings"); i++) {
            char protocol[64], name[64], message[64], remedy[64];
            snprintf(protocol, sizeof protocol, "/status/warnings/%zu/protocol", i);
            snprintf(name, sizeof name, "/status/warnings/%zu/name", i);
            snprintf(message, sizeof message, "/status/warnings/%zu/message", i);
            snprintf(remedy, sizeof remedy, "/status/warnings/%zu/remedy", i);
            printf("warning %s %s: %s | %s\n", or_dash(mxo_value_string(system, protocol)),
                   or_dash(mxo_value_string(system, name)), or_dash(mxo_value_string(system, message)),
                   or_dash(mxo_value_string(system, remedy)));
        }
    }
    mxo_value_free(system);
    return status;
}

static mxo_status tokens(struct host *host, mxo_error **error)
{
    char *token = NULL, *refreshed = NULL, *xoauth2 = NULL;
    int64_t expires_at = 0;
    mxo_status status = mxo_access_token(host->connector, host->system, 0, A_MINUTE_MS, &token, &expires_at, error);

    if (status == MXO_OK) {
        printf("token %zu\n", strlen(token));
        if (expires_at <= (int64_t)time(NULL))
            status = fault("the token has ended already");
    }
    /* No token lives for 1,000,000 s: this asks for a new one. */
    if (status == MXO_OK)
        status = mxo_access_token(host->connector, host->system, 1000000, A_MINUTE_MS, &refreshed, NULL, error);
    if (status == MXO_OK) {
        printf("refreshed %zu\n", strlen(refreshed));
        if (strcmp(token, refreshed) == 0)
            status = fault("the refreshed token is the old one");
    }
    if (status == MXO_OK)
        status = mxo_xoauth2(host->connector, host->system, NULL, A_MINUTE_MS, &xoauth2, error);
    if (status == MXO_OK)
        printf("xoauth2 %zu\n", strlen(xoauth2));
    mxo_string_free(xoauth2);
    mxo_string_free(refreshed);
    mxo_string_free(token);
    return status;
}

/* Each of a list of addresses with commas between them; the first one has the name, if there is one. */
static mxo_status add_recipients(mxo_mail *mail, int32_t kind, const char *list, const char *name, mxo_error **error)
{
    char address[512];
    mxo_status status = MXO_OK;

    while (status == MXO_OK && list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        snprintf(address, sizeof address, "%.*s", (int)length, list);
        status = mxo_mail_add_recipient(mail, kind, address, name, error);
        list += length + (list[length] == ',');
        name = NULL;
    }
    return status;
}

static mxo_status send_mail(struct host *host, mxo_error **error)
{
    mxo_mail *mail = NULL;
    mxo_value *report = NULL;
    mxo_status status = mxo_mail_new(&mail, error);

    if (status == MXO_OK && setting("MXO_FROM") != NULL)
        status = mxo_mail_set_from(mail, setting("MXO_FROM"), NULL, error);
    if (status == MXO_OK)
        status = add_recipients(mail, MXO_TO, setting("MXO_TO"), setting("MXO_TO_NAME"), error);
    if (status == MXO_OK)
        status = add_recipients(mail, MXO_BCC, setting("MXO_BCC"), NULL, error);
    if (status == MXO_OK)
        status = mxo_mail_set_subject(mail, or_dash(setting("MXO_SUBJECT")), error);
    if (status == MXO_OK)
        status = mxo_mail_set_text(mail, or_dash(setting("MXO_TEXT")), error);
    if (status == MXO_OK)
        status = mxo_mail_attach_file(mail, setting("MXO_ATTACH"), NULL, "application/pdf", error);
    if (status == MXO_OK)
        status = mxo_send(host->connector, host->system, mail, A_MINUTE_MS, &report, error);

    if (status == MXO_PARTIAL) {
        fprintf(stderr, "some recipients were refused: %s\n", mxo_value_json(report));
        status = MXO_OK;
    }
    if (status == MXO_OK)
        printf("sent %s\n", or_dash(mxo_value_string(report, "/reply")));
    mxo_value_free(report);
    mxo_mail_free(mail);
    return status;
}

/* Waits for the completion of this operation, past whatever else happens. */
static mxo_status wait_for_completion(mxo_events *events, int64_t operation_id, mxo_error **error)
{
    mxo_status status;
    int found = 0;

    do {
        mxo_value *event = NULL;
        status = mxo_events_next(events, A_MINUTE_MS, &event, error);
        if (status == MXO_OK && mxo_value_integer(event, "/operation_id", 0) == operation_id) {
            found = 1;
            printf("completed %s\n", or_dash(mxo_status_name((mxo_status)mxo_value_integer(event, "/status", 0))));
        }
        mxo_value_free(event);
    } while (status == MXO_OK && !found);
    return status == MXO_OK || status < 0 ? status : fault("the completion did not come");
}

/* A second mail, without a thread that waits for it: its end is told as an event. */
static mxo_status send_note(struct host *host, const char *to, mxo_error **error)
{
    mxo_events *events = NULL;
    mxo_mail *mail = NULL;
    mxo_operation *sending = NULL;
    /* Subscribed before the start: events are told from then on. */
    mxo_status status = mxo_events_open(host->connector, "{\"types\": [\"completion\"]}", &events, error);

    if (status == MXO_OK)
        status = mxo_mail_new(&mail, error);
    if (status == MXO_OK)
        status = add_recipients(mail, MXO_TO, to, NULL, error);
    if (status == MXO_OK)
        status = mxo_mail_set_subject(mail, "It was sent", error);
    if (status == MXO_OK)
        status = mxo_send_start(host->connector, host->system, mail, NULL, NULL, NULL, &sending, error);
    if (status == MXO_OK)
        status = wait_for_completion(events, mxo_operation_id(sending), error);
    /* It has ended: this only asks how. */
    if (status == MXO_OK)
        status = mxo_operation_wait(sending, 0, NULL, error);
    mxo_operation_free(sending);
    mxo_mail_free(mail);
    mxo_events_close(events);
    return status;
}

static mxo_status main_job(struct host *host, mxo_error **error)
{
    const char *job = setting("MXO_JOB");
    int sends = job == NULL || strcmp(job, "all") == 0;
    mxo_status status = open_connector(host, error);

    if (status == MXO_OK)
        status = mxo_system_add(host->connector, "Microsoft Exchange Online", setting("MXO_CLIENT_ID"),
                                setting("MXO_TENANT_ID"), setting("MXO_SETTINGS"), &host->system, error);
    if (status == MXO_OK)
        status = sign_in(host, error);
    if (status == MXO_OK)
        status = tell_connection(host, error);
    if (status == MXO_OK)
        status = tokens(host, error);
    if (status == MXO_OK && sends)
        status = send_mail(host, error);
    if (status == MXO_OK && sends && setting("MXO_NOTE_TO") != NULL)
        status = send_note(host, setting("MXO_NOTE_TO"), error);
    if (status == MXO_OK)
        status = mxo_sign_out(host->connector, host->system, error);
    if (status == MXO_OK)
        status = mxo_system_remove(host->connector, host->system, error);
    return status;
}

int main(void)
{
    static struct screen screen = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};
    struct host host = {NULL, NULL, &screen};
    mxo_error *error = NULL;
    mxo_status status;
    int major = (int)(mxo_abi_version() >> 16), minor = (int)(mxo_abi_version() & 0xffff);

    if (major != MXO_ABI_MAJOR || minor < MXO_ABI_MINOR) {
        fprintf(stderr, "this host was built for another version of the library than %s\n", mxo_version());
        return 2;
    }
    status = main_job(&host, &error);
    if (status != MXO_OK && status != HOST_FAULT)
        printf("failed %s: %s | %s\n", or_dash(mxo_status_name(status)), or_dash(mxo_error_message(error)),
               or_dash(mxo_error_remedy(error)));
    mxo_error_free(error);
    mxo_string_free(host.system);

    /* What the library was given comes back exactly once: after the last call at the latest, and not again. */
    if (screen.given && wait_for_release(&screen) != MXO_OK)
        status = HOST_FAULT;
    mxo_connector_close(host.connector);
    if (screen.released != screen.given)
        status = fault("the sign-in's user data was not released exactly once");
    if (status == MXO_OK && screen.codes_shown != 1)
        status = fault("not exactly one code was told");
    if (status != MXO_OK)
        return 3;
    printf("done\n");
    return 0;
}
