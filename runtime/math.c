/* math.c: libm under the names that compiled code uses. */
#include "rnet_math.h"

#include <math.h>

float rnet_erf_f32(float x)
{
    return erff(x);
}

double rnet_erf_f64(double x)
{
    return erf(x);
}

float rnet_sin_f32(float x)
{
    return sinf(x);
}

double rnet_sin_f64(double x)
{
    return sin(x);
}

float rnet_cos_f32(float x)
{
    return cosf(x);
}

double rnet_cos_f64(double x)
{
    return cos(x);
}

float rnet_pow_f32(float x, float y)
{
    return powf(x, y);
}

double rnet_pow_f64(double x, double y)
{
    return pow(x, y);
}

float rnet_log1p_f32(float x)
{
    return log1pf(x);
}

double rnet_log1p_f64(double x)
{
    return log1p(x);
}

float rnet_expm1_f32(float x)
{
    return expm1f(x);
}

double rnet_expm1_f64(double x)
{
    return expm1(x);
}
