<?php

// A host in PHP: the main job on the bare C functions, as the binding's authors see them. Everything is pulled, in short
// waits, for the library must never call into PHP. What it reads from the environment and prints: see ../run.

declare(strict_types=1);

const MXO_TIMEOUT = 2;
const MXO_PARTIAL = 4;
const MXO_TO = 0;
const MXO_BCC = 2;
const ABI_MAJOR = 1;
const LIBRARY = 'libmyq_exchange_online.so';

/** A status other than what the step hoped for. */
final class Failed extends RuntimeException
{
}

// First the version, by a declaration of its own: one function that is missing makes a whole cdef fail.
$abi = FFI::cdef('uint32_t mxo_abi_version(void);', LIBRARY)->mxo_abi_version();
if ($abi >> 16 !== ABI_MAJOR) {
    fwrite(STDERR, 'the ABI of ' . LIBRARY . ' is ' . ($abi >> 16) . ', wanted is ' . ABI_MAJOR . "\n");
    exit(2);
}
$mxo = FFI::cdef(
    file_get_contents(__DIR__ . '/../../../bindings/php/src/Native/myq_exchange_online.h'),
    LIBRARY
);
$error = $mxo->new('mxo_error *');

/** A variable of the environment; null when it is not set or empty. */
function setting(string $name): ?string
{
    return (getenv($name) ?: '') === '' ? null : getenv($name);
}

function say(string $line): void
{
    fwrite(STDOUT, $line . "\n");
}

/** Calls a function whose last parameter is the error. Positive statuses are for the caller to judge. */
function call(string $function, mixed ...$arguments): int
{
    global $mxo, $error;
    $status = $mxo->$function(...[...$arguments, FFI::addr($error)]);
    if ($status >= 0) {
        return $status;
    }
    $failure = ($mxo->mxo_status_name($status) ?? $status) . ': ' . $mxo->mxo_error_message($error)
        . ' | ' . ($mxo->mxo_error_remedy($error) ?? '-');
    $mxo->mxo_error_free($error);
    throw new Failed($failure);
}

/** A text that the library gave; it is copied and freed. */
function take(FFI\CData $text): string
{
    global $mxo;
    $copy = FFI::string($text);
    $mxo->mxo_string_free($text);
    return $copy;
}

/** The person at the browser; without MXO_APPROVE somebody is awaited. */
function person_confirms(string $link, string $code): void
{
    $command = ['/bin/sh', '-c', '$MXO_APPROVE "$@" >&2', 'sh', $link, $code];
    if (setting('MXO_APPROVE') !== null && proc_close(proc_open($command, [], $pipes)) !== 0) {
        throw new Failed('host: MXO_APPROVE failed');
    }
}

function sign_in(FFI\CData $connector, string $system): void
{
    global $mxo;
    $operation = $mxo->new('mxo_operation *');
    $code = $mxo->new('mxo_device_code *');
    call('mxo_sign_in_start', $connector, $system, null, null, null, null, FFI::addr($operation));
    while (call('mxo_sign_in_code', $connector, $system, null, 250, FFI::addr($code)) === MXO_TIMEOUT) {
    }
    [$user_code, $link] = [$mxo->mxo_device_code_user_code($code), $mxo->mxo_device_code_verification_uri($code)];
    $sign_in_id = $mxo->mxo_device_code_sign_in_id($code);
    $mxo->mxo_device_code_free($code);
    say("code $user_code");
    say("link $link");
    person_confirms($link, $user_code);

    // As a web page would that refreshes: asks where it stands, by the identifier of its own sign-in.
    do {
        $state = $mxo->new('mxo_value *');
        call('mxo_sign_in_state', $connector, $system, $sign_in_id, 250, FFI::addr($state));
        $is = json_decode($mxo->mxo_value_json($state), true, flags: JSON_THROW_ON_ERROR)['state'];
        $mxo->mxo_value_free($state);
        usleep(100_000);
    } while (in_array($is, ['starting', 'code_waiting', 'proving'], true));
    call('mxo_operation_wait', $operation, 60000, null);
    $mxo->mxo_operation_free($operation);
}

function tell_connection(FFI\CData $connector, string $system): void
{
    global $mxo;
    $value = $mxo->new('mxo_value *');
    call('mxo_system_get', $connector, $system, FFI::addr($value));
    $status = json_decode($mxo->mxo_value_json($value), true, flags: JSON_THROW_ON_ERROR)['status'];
    $mxo->mxo_value_free($value);
    say("connected {$status['login_name']}");
    foreach ($status['warnings'] as $is) {
        say('warning ' . ($is['protocol'] ?? '-') . " {$is['name']}: {$is['message']} | " . ($is['remedy'] ?? '-'));
    }
}

function tokens(FFI\CData $connector, string $system): void
{
    global $mxo;
    $text = $mxo->new('char *');
    call('mxo_access_token', $connector, $system, 0, 60000, FFI::addr($text), null);
    $token = take($text);
    say('token ' . strlen($token));
    call('mxo_access_token', $connector, $system, 1_000_000, 60000, FFI::addr($text), null);
    $refreshed = take($text);
    say('refreshed ' . strlen($refreshed));
    if ($refreshed === $token) {
        throw new Failed('host: the refreshed token is the old one');
    }
    call('mxo_xoauth2', $connector, $system, null, 60000, FFI::addr($text));
    say('xoauth2 ' . strlen(take($text)));
}

function add_recipients(FFI\CData $mail, int $kind, ?string $list, ?string $name): void
{
    foreach (array_filter(explode(',', $list ?? '')) as $address) {
        call('mxo_mail_add_recipient', $mail, $kind, $address, $name);
        $name = null;
    }
}

function send_mail(FFI\CData $connector, string $system): void
{
    global $mxo;
    $mail = $mxo->new('mxo_mail *');
    $report = $mxo->new('mxo_value *');
    call('mxo_mail_new', FFI::addr($mail));
    if (setting('MXO_FROM') !== null) {
        call('mxo_mail_set_from', $mail, setting('MXO_FROM'), null);
    }
    add_recipients($mail, MXO_TO, setting('MXO_TO'), setting('MXO_TO_NAME'));
    add_recipients($mail, MXO_BCC, setting('MXO_BCC'), null);
    call('mxo_mail_set_subject', $mail, setting('MXO_SUBJECT'));
    call('mxo_mail_set_text', $mail, setting('MXO_TEXT'));
    call('mxo_mail_attach_file', $mail, setting('MXO_ATTACH'), null, 'application/pdf');
    if (call('mxo_send', $connector, $system, $mail, 60000, FFI::addr($report)) === MXO_PARTIAL) {
        fwrite(STDERR, 'some recipients were refused: ' . $mxo->mxo_value_json($report) . "\n");
    }
    say('sent ' . $mxo->mxo_value_string($report, '/reply'));
    $mxo->mxo_value_free($report);
    $mxo->mxo_mail_free($mail);
}

function send_note(FFI\CData $connector, string $system, string $to): void
{
    global $mxo;
    $mail = $mxo->new('mxo_mail *');
    $sending = $mxo->new('mxo_operation *');
    call('mxo_mail_new', FFI::addr($mail));
    add_recipients($mail, MXO_TO, $to, null);
    call('mxo_mail_set_subject', $mail, 'It was sent');
    call('mxo_send_start', $connector, $system, $mail, null, null, null, FFI::addr($sending));
    $mxo->mxo_mail_free($mail);
    while (($status = call('mxo_operation_wait', $sending, 250, null)) === MXO_TIMEOUT) {
    }
    say('completed ' . $mxo->mxo_status_name($status));
    $mxo->mxo_operation_free($sending);
}

$connector = $mxo->new('mxo_connector *');
$id = $mxo->new('char *');
try {
    $sends = (setting('MXO_JOB') ?? 'all') === 'all';
    call('mxo_connector_open', setting('MXO_OPTIONS'), FFI::addr($connector));
    call(
        'mxo_system_add',
        $connector,
        'Microsoft Exchange Online',
        setting('MXO_CLIENT_ID'),
        setting('MXO_TENANT_ID'),
        setting('MXO_SETTINGS'),
        FFI::addr($id)
    );
    $system = take($id);
    sign_in($connector, $system);
    tell_connection($connector, $system);
    tokens($connector, $system);
    if ($sends) {
        send_mail($connector, $system);
    }
    if ($sends && setting('MXO_NOTE_TO') !== null) {
        send_note($connector, $system, setting('MXO_NOTE_TO'));
    }
    call('mxo_sign_out', $connector, $system);
    call('mxo_system_remove', $connector, $system);
    $result = 0;
    say('done');
} catch (Failed $failure) {
    $result = 3;
    say('failed ' . $failure->getMessage());
}
$mxo->mxo_connector_close($connector);
exit($result);
