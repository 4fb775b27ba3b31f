"""Slow, obvious versions of what rsa_faces computes: the arbiter of the tests.

Plain loops over plain definitions (docs: METHODS), exact sums, nothing shared with the package.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

# --- patterns -> vector of pairs -----------------------------------------------------------------


def _pairs(n):
    return list(itertools.combinations(range(n), 2))


def _dot(x, y):
    return math.fsum(float(a) * float(b) for a, b in zip(x, y, strict=True))


def _centred(x):
    x = [float(value) for value in x]
    if all(value == x[0] for value in x):
        return [0.0] * len(x)
    mean = math.fsum(x) / len(x)
    return [value - mean for value in x]


def _cosine(x, y):
    # Scaled first, so that no square under- or overflows.
    largest_x, largest_y = max(map(abs, x)), max(map(abs, y))
    if largest_x == 0 or largest_y == 0:
        return math.nan
    x, y = [value / largest_x for value in x], [value / largest_y for value in y]
    return _dot(x, y) / math.sqrt(_dot(x, x) * _dot(y, y))


def sqeuclidean(patterns):
    return [
        math.fsum((float(a) - float(b)) ** 2 for a, b in zip(patterns[i], patterns[j], strict=True))
        for i, j in _pairs(len(patterns))
    ]


def euclidean(patterns):
    return [math.sqrt(value) for value in sqeuclidean(patterns)]


def cosine(patterns):
    patterns = [[float(value) for value in row] for row in patterns]
    return [1 - _cosine(patterns[i], patterns[j]) for i, j in _pairs(len(patterns))]


def correlation(patterns):
    return cosine([_centred(row) for row in patterns])


def mahalanobis(patterns, covariance):
    precision = np.linalg.inv(covariance)
    vector = []
    for i, j in _pairs(len(patterns)):
        difference = np.array(patterns[i], float) - np.array(patterns[j], float)
        vector.append(difference @ precision @ difference / len(difference))
    return vector


def crossnobis(folds, covariance=None):
    """Leave each fold out: its difference times the mean difference of the other folds."""
    folds = np.array(folds, float)
    n_folds, n_conditions, n_channels = folds.shape
    covariance = np.eye(n_channels) if covariance is None else np.array(covariance)
    vector = []
    for i, j in _pairs(n_conditions):
        products = []
        for left_out in range(n_folds):
            others = [fold for fold in range(n_folds) if fold != left_out]
            left = folds[left_out, i] - folds[left_out, j]
            if covariance.ndim == 2:
                train = np.mean([folds[o, i] - folds[o, j] for o in others], axis=0)
                products.append(train @ np.linalg.inv(covariance) @ left)
            else:
                for o in others:
                    precision = np.linalg.inv((covariance[o] + covariance[left_out]) / 2)
                    products.append((folds[o, i] - folds[o, j]) @ precision @ left)
        vector.append(np.mean(products) / n_channels)
    return vector


def poisson(patterns, prior_rate=1.0, prior_weight=0.1):
    vector = []
    for i, j in _pairs(len(patterns)):
        terms = []
        for a, b in zip(patterns[i], patterns[j], strict=True):
            a = (float(a) + prior_rate * prior_weight) / (1 + prior_weight)
            b = (float(b) + prior_rate * prior_weight) / (1 + prior_weight)
            # KL(a | b) + KL(b | a) of two Poisson rates.
            terms.append(a * math.log(a / b) - a + b + b * math.log(b / a) - b + a)
        vector.append(math.fsum(terms) / len(terms))
    return vector


MEASURES = {
    "euclidean": euclidean,
    "sqeuclidean": sqeuclidean,
    "correlation": correlation,
    "cosine": cosine,
    "mahalanobis": mahalanobis,
    "crossnobis": crossnobis,
    "poisson": poisson,
}

# --- two vectors -> similarity -------------------------------------------------------------------


def ranks(x):
    """One plus the number of smaller values, plus half the number of other equal values."""
    return [sum(b < a for b in x) + (sum(b == a for b in x) + 1) / 2 for a in x]


def _sign(value):
    return int(value > 0) - int(value < 0)


def _is_constant(x):
    return all(value == x[0] for value in x)


def kendall_sum(x, y, weights=None):
    """Concordant minus discordant pairs of entries, each counting the product of its weights."""
    weights = [1] * len(x) if weights is None else weights
    return sum(
        int(weights[p]) * int(weights[q]) * _sign(x[p] - x[q]) * _sign(y[p] - y[q])
        for p, q in _pairs(len(x))
    )


def sim_pearson(x, y):
    return _cosine(_centred(x), _centred(y))


def sim_cosine(x, y):
    return _cosine(list(map(float, x)), list(map(float, y)))


def sim_spearman(x, y):
    return sim_pearson(ranks(x), ranks(y))


def sim_rho_a(x, y):
    if _is_constant(x) or _is_constant(y):
        return math.nan
    n = len(x)
    return _dot(_centred(ranks(x)), _centred(ranks(y))) * 12 / (n**3 - n)


def sim_kendall(x, y):
    untied = [sum(v[p] != v[q] for p, q in _pairs(len(v))) for v in (x, y)]
    return kendall_sum(x, y) / math.sqrt(untied[0] * untied[1]) if all(untied) else math.nan


def sim_tau_a(x, y):
    if _is_constant(x) or _is_constant(y):
        return math.nan
    return kendall_sum(x, y) / math.comb(len(x), 2)


def covariance_of_pairs(n_conditions, sigma_k=None):
    """V: squared covariances of the differences between pattern estimates."""
    sigma_k = np.eye(n_conditions) if sigma_k is None else np.asarray(sigma_k)
    pairs = _pairs(n_conditions)
    covariance = np.zeros((len(pairs), len(pairs)))
    for p, (i, j) in enumerate(pairs):
        for q, (k, m) in enumerate(pairs):
            entry = sigma_k[i, k] - sigma_k[i, m] - sigma_k[j, k] + sigma_k[j, m]
            covariance[p, q] = entry**2
    return covariance


def sim_cosine_cov(x, y, sigma_k=None):
    x, y = np.array(x, float), np.array(y, float)
    if not x.any() or not y.any():
        return math.nan
    n_conditions = next(n for n in itertools.count(2) if math.comb(n, 2) == len(x))
    precision = np.linalg.inv(covariance_of_pairs(n_conditions, sigma_k))
    return (x @ precision @ y) / math.sqrt((x @ precision @ x) * (y @ precision @ y))


def sim_corr_cov(x, y, sigma_k=None):
    return sim_cosine_cov(_centred(x), _centred(y), sigma_k)


METHODS = {
    "pearson": sim_pearson,
    "spearman": sim_spearman,
    "rho-a": sim_rho_a,
    "kendall": sim_kendall,
    "tau-a": sim_tau_a,
    "cosine": sim_cosine,
    "corr_cov": sim_corr_cov,
    "cosine_cov": sim_cosine_cov,
}


def compare(model, data, method, sigma_k=None):
    """Every row with every row, over the pairs measured in both; NaN below 3 of them."""
    options = {} if sigma_k is None else {"sigma_k": sigma_k}
    result = np.full((len(model), len(data)), np.nan)
    for i, x in enumerate(model):
        for j, y in enumerate(data):
            both = [p for p in range(len(x)) if x[p] == x[p] and y[p] == y[p]]
            if len(both) >= 3:
                result[i, j] = METHODS[method](
                    [x[p] for p in both], [y[p] for p in both], **options
                )
    return result


# --- noise ceiling -------------------------------------------------------------------------------

_POOLING = {
    "pearson": "z",
    "corr_cov": "z",
    "cosine": "rms",
    "cosine_cov": "rms",
    "spearman": "ranks",
    "rho-a": "ranks",
    "kendall": "ranks",
    "tau-a": "ranks",
}


def pool(vectors, method):
    """Normalise each vector as the method wants it, then average."""
    normalised = []
    for vector in vectors:
        if _POOLING[method] == "ranks":
            normalised.append(ranks(vector))
            continue
        x = _centred(vector) if _POOLING[method] == "z" else [float(value) for value in vector]
        rms = math.sqrt(_dot(x, x) / len(x))
        normalised.append([value / rms for value in x])
    return [math.fsum(column) / len(vectors) for column in zip(*normalised, strict=True)]


def noise_ceiling(vectors, subjects, method):
    """Return (lower, upper): each subject with the pool of the others, and of all.

    A subject's sessions are averaged first, so that they leave together.
    """
    names = list(dict.fromkeys(subjects))
    means = []
    for name in names:
        own = [v for v, subject in zip(vectors, subjects, strict=True) if subject == name]
        means.append([math.fsum(column) / len(own) for column in zip(*own, strict=True)])
    everyone = pool(means, method)
    lower, upper = [], []
    for i, mean in enumerate(means):
        others = pool(means[:i] + means[i + 1 :], method)
        lower.append(METHODS[method](mean, others))
        upper.append(METHODS[method](mean, everyone))
    return math.fsum(lower) / len(names), math.fsum(upper) / len(names)


# --- noise covariance ----------------------------------------------------------------------------


def ledoit_wolf(residuals, freedom):
    """Return covariance and shrinkage (Ledoit & Wolf 2004, section 3.3).

    Over `freedom` rows. Residuals are more numerous and smaller: over `freedom` free rows the
    fourth powers sum to n / freedom times theirs, the squares to the same.
    """
    n, p = residuals.shape
    sample = sum(np.outer(x, x) for x in residuals) / freedom
    target = np.trace(sample) / p * np.eye(p)
    d2 = ((sample - target) ** 2).sum()
    fourth = n / freedom * sum((np.outer(x, x) ** 2).sum() for x in residuals)
    b2 = (fourth - freedom * (sample**2).sum()) / freedom**2
    shrinkage = min(b2, d2) / d2
    return shrinkage * target + (1 - shrinkage) * sample, shrinkage


def schaefer_strimmer(residuals, freedom):
    """Return covariance and shrinkage (Schäfer & Strimmer 2005, table 2 target D).

    Over `freedom` rows, as above. With the mean taken out, n − 1 of them, this is their formula:
    n / (n − 1)³ Σ (w_k − w̄)².
    """
    n, p = residuals.shape
    covariance = residuals.T @ residuals / freedom
    standard = residuals / np.sqrt(np.diag(covariance))
    variances, squares = 0.0, 0.0
    for i in range(p):
        for j in range(p):
            if i != j:
                w = [standard[k, i] * standard[k, j] for k in range(n)]
                mean = math.fsum(w) / freedom
                fourth = n / freedom * math.fsum(value**2 for value in w)
                variances += (fourth - freedom * mean**2) / freedom**2
                squares += mean**2
    shrinkage = min(1.0, variances / squares)
    for i in range(p):
        for j in range(p):
            if i != j:
                covariance[i, j] *= 1 - shrinkage
    return covariance, shrinkage


NOISE_METHODS = {"ledoit-wolf": ledoit_wolf, "schaefer-strimmer": schaefer_strimmer}


# --- samples of people -> interval ---------------------------------------------------------------


def drawn_interval(samples, n):
    """Percentiles of 95 %, as much further out as n people ask for."""
    from scipy import stats

    tail = stats.norm.cdf(stats.t.ppf(0.025, n - 1) * math.sqrt(n / (n - 1)))
    return np.quantile(samples, [tail, 1 - tail])
